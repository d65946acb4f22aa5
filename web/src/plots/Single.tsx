import { useEffect } from "preact/hooks";

import { isNumber, queried, readPoints, type Point, type StreamPath } from "../api";
import { agoText, timeText } from "../lib/time";
import { CopyButton, Fault, Loading } from "../ui/basics";
import { useLoad, useNow } from "../ui/hooks";
import { numberText, valueText } from "./kinds";
import { usePalette } from "./looks";
import type { Span } from "./range";

interface Part {
  readonly path: StreamPath;
  readonly transform: string;
  readonly span: Span;
  readonly revision: number;
}

/** The newest value, large; with the mean of what is in view, and of as long a time before it. */
export function BigNumber({ path, transform, span, revision, newest }: Part & { newest: Point | undefined }) {
  const at = useNow(10_000);
  const found = useLoad(
    async (signal) => {
      const script = [transform, "mean | if last"].filter(Boolean).join(" | ");
      const mean = async (t1: number, t2: number): Promise<number | null> => {
        if (t2 <= 0) return null;
        const [point] = await readPoints(path, { t1: Math.max(0, t1), t2, transform: script }, signal);
        return typeof point?.d === "number" ? point.d : null;
      };
      const length = span.t2 - span.t1;
      return Promise.all([mean(span.t1, span.t2), mean(span.t1 - length, span.t1)]);
    },
    [path, transform, span],
  );
  const last = useLoad(
    async (signal) => (transform ? (await readPoints(path, { i1: -1, transform }, signal))[0] : undefined),
    [path, transform, newest?.t],
  );
  useEffect(() => {
    if (!revision) return;
    found.reload();
    last.reload();
  }, [revision]);
  const [now, before] = found.data ?? [null, null];
  const change = now !== null && before !== null ? now - before : null;
  const point = transform ? last.data : newest;
  const value = point?.d;
  return (
    <div class="big-number">
      <Fault error={found.error} retry={found.reload} />
      <Fault error={last.error} />
      {last.loading && point === undefined ? (
        <Loading />
      ) : (
        <p class="value">
          {isNumber(value) ? numberText(value) : value === undefined ? "–" : valueText(value, 80)}
        </p>
      )}
      {typeof value === "number" && Number(numberText(value).replaceAll(",", "")) !== value && (
        <p class="muted">Exactly {String(value)}</p>
      )}
      {point && (
        <p class="muted">
          {agoText(point.t, at)} ({timeText(point.t)})
        </p>
      )}
      {now !== null && (
        <p>
          Mean of the time in view: <strong>{numberText(now)}</strong>
          {change !== null && (
            <>
              {"; "}
              {Math.abs(change) < 1e-12 ? "as before" : `${change > 0 ? "▲ up" : "▼ down"} by ${numberText(Math.abs(change))}`} (
              {numberText(before ?? 0)} in as long a time before)
            </>
          )}
        </p>
      )}
    </div>
  );
}

const SHOWN = 100;

/** The newest values as the API gives them. */
export function JsonView({ path, transform, span, revision, label }: Part & { label: string }) {
  const found = useLoad(
    async (signal) => {
      if (transform) {
        const range = { ...queried(span), limit: SHOWN, transform };
        return readPoints(path, range, signal);
      }
      return readPoints(path, { i1: -SHOWN }, signal);
    },
    [path, transform, transform && span],
  );
  useEffect(() => {
    if (revision) found.reload();
  }, [revision]);
  const text = (found.data ?? []).map((point) => JSON.stringify(point)).join(",\n ");
  const shown = text.length > 200_000 ? `${text.slice(0, 200_000)} …` : text;
  return (
    <div>
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading what="Reading" />}
      {found.data && (
        <>
          <p class="muted">
            {transform ? `The first ${found.data.length} from this time.` : `The newest ${found.data.length}, oldest first.`}
          </p>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
          <pre tabIndex={0} role="region" aria-label={`JSON of ${label}`}>
            <code>[{shown}]</code>
          </pre>
          <CopyButton text={`[${text}]`} what="JSON" />
        </>
      )}
    </div>
  );
}

/** A small line of the newest numbers, as a picture beside a number. */
export function Spark({ points }: { points: readonly Point[] }) {
  const colors = usePalette();
  const numbers = points.filter((point): point is Point & { d: number } => typeof point.d === "number");
  if (numbers.length < 3) return null;
  const [t1, t2] = [numbers[0]?.t ?? 0, numbers.at(-1)?.t ?? 1];
  const values = numbers.map((point) => point.d);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const d = numbers
    .map(({ t, d: v }, i) => `${i ? "L" : "M"}${(100 * (t - t1)) / (t2 - t1 || 1)} ${28 - (26 * (v - least)) / (most - least || 1)}`)
    .join("");
  return (
    <svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
      <path d={d} fill="none" stroke={colors.series[0]} stroke-width={1.5} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
