import { useEffect, useMemo, useRef } from "preact/hooks";

import { indexAt, readPoints, type Json, type Point, type StreamPath } from "../api";
import { durationText, timeText, zone } from "../lib/time";
import { Fault, Loading } from "../ui/basics";
import { useId, useLoad } from "../ui/hooks";
import { useGestures } from "./gestures";
import { piped } from "./counting";
import { valueText } from "./kinds";
import { axisStep, axisTexts, axisTimes, saveSvg, usePalette, useWidth } from "./looks";
import type { Span } from "./range";
import { chooseEvery, everyText } from "./source";

const POINTS = 4000;
/** Of more changes than asked for, the server sends each second, fourth, ... one; of fewer than this, all. */
const ALL = POINTS / 2;
/** Pixels for which shares of values are asked for. */
const SHARES = 900;
const LANES_MAX = 12;
const LANE = 34;
const LEFT = 104;
const AXIS = 44;

/** Something that holds from a time until the next value. */
interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly value: Json;
}

/** Which value held when: a lane for each. */
export default function Timeline({
  path,
  transform,
  span,
  onSpan,
  revision,
  label,
  saveAs,
}: {
  path: StreamPath;
  transform: string;
  span: Span;
  onSpan: (span: Span) => void;
  revision: number;
  label: string;
  saveAs?: (save: ((name: string) => void) | null) => void;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(frame);
  const colors = usePalette();
  const keys = useId("keys");
  // A little more than is in view, so that moving needs not wait; the same while the view moves a little.
  const cell = 2 ** Math.floor(Math.log2(Math.max(span.t2 - span.t1, 1e-3))) / 2;
  const t1 = Math.max(0, Math.floor(span.t1 / cell - 1) * cell);
  const t2 = Math.max(1e-3, Math.ceil(span.t2 / cell + 1) * cell);
  const every = chooseEvery(t2 - t1, SHARES);
  const found = useLoad(
    async (signal) => {
      const script = transform ? { transform } : {};
      const i = await indexAt(path, t1, signal);
      const [before, points] = await Promise.all([
        i > 0 ? readPoints(path, { i1: i - 1, i2: i, ...script }, signal) : [],
        readPoints(path, { t1, t2, points: POINTS, ...script }, signal),
      ]);
      // With some of the changes left out, a picture of them would be wrong.
      if (points.length >= ALL) return { points: [], shares: await readShares(path, transform, t1, t2, every, signal) };
      return { points: [...before, ...points], shares: null };
    },
    [path, transform, t1, t2],
    revision,
  );
  const kept = useRef<{ readonly points: readonly Point[]; readonly shares: Shares | null }>({ points: [], shares: null });
  if (found.data) kept.current = found.data;
  const { points, shares } = kept.current;
  const now = Date.now() / 1000;
  const stretches = useMemo(() => stretchesOf(points, Math.max(now, points.at(-1)?.t ?? 0)), [points]);
  const lanes = useMemo(() => shares?.lanes ?? lanesOf(stretches), [shares, stretches]);
  useGestures(
    frame,
    () => {
      const box = frame.current?.getBoundingClientRect();
      return box ? { left: box.left + LEFT, width: box.width - LEFT } : null;
    },
    span,
    onSpan,
  );
  useEffect(() => {
    saveAs?.((name) => {
      if (svg.current) void saveSvg(svg.current, name, colors.card);
    });
    return () => saveAs?.(null);
  }, [colors]);

  const inner = Math.max(1, width - LEFT);
  const x = (t: number): number => LEFT + ((t - span.t1) / (span.t2 - span.t1)) * inner;
  /** Where a text of so much to either side can be read in full. */
  const within = (at: number, half: number): number => Math.max(LEFT + half, Math.min(width - half, at));
  const height = Math.max(1, lanes.length) * LANE + AXIS;
  const step = axisStep(span.t1, span.t2, inner / 90);
  const times = axisTimes(span.t1, span.t2, step, zone.value);
  const texts = axisTexts(times, step, zone.value);
  const inView = stretches.filter((stretch) => stretch.to > span.t1 && stretch.from < span.t2);
  const sums = lanes.map((lane) => {
    let s = 0;
    for (const stretch of inView)
      if (laneOf(stretch.value, lanes) === lane) s += Math.min(stretch.to, span.t2) - Math.max(stretch.from, span.t1);
    return s;
  });
  return (
    <figure class="plot">
      <Fault error={found.error} retry={found.reload} />
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it is moved and zoomed by keys */}
      <div ref={frame} class="plot-frame" role="group" tabIndex={0} aria-label={`Timeline of ${label}`} aria-describedby={keys}>
        {width > 0 && (
          <svg ref={svg} width={width} height={height} aria-hidden="true" font-family="system-ui, sans-serif" font-size={13}>
            {times.map((t, i) => {
              const [text = "", below = ""] = (texts[i] ?? "").split("\n");
              return (
                <g key={t}>
                  <line x1={x(t)} x2={x(t)} y1={0} y2={height - AXIS + 4} stroke={colors.line} />
                  <text x={within(x(t), 20)} y={height - AXIS + 19} fill={colors.faint} text-anchor="middle">
                    {text}
                  </text>
                  <text x={within(x(t), 45)} y={height - AXIS + 36} fill={colors.faint} text-anchor="middle">
                    {below}
                  </text>
                </g>
              );
            })}
            {inView.map((stretch) => {
              const lane = lanes.indexOf(laneOf(stretch.value, lanes));
              const from = Math.max(LEFT, x(stretch.from));
              const to = Math.min(width, x(stretch.to));
              return (
                <rect
                  key={`${stretch.from} ${lane}`}
                  x={from}
                  y={lane * LANE + 4}
                  width={Math.max(1.5, to - from)}
                  height={LANE - 8}
                  rx={3}
                  fill={colors.series[lane % colors.series.length]}
                >
                  <title>{`${valueText(stretch.value, 60)}: ${timeText(stretch.from)}, for ${durationText(stretch.to - stretch.from)}`}</title>
                </rect>
              );
            })}
            {shares?.windows
              .filter((window) => window.t + shares.every > span.t1 && window.t < span.t2)
              .map((window) =>
                window.parts.map((part, lane) => {
                  const from = Math.max(LEFT, x(window.t));
                  return (
                    part > 0 && (
                      <rect
                        key={`${window.t} ${lane}`}
                        x={from}
                        y={lane * LANE + 4}
                        width={Math.max(1, Math.min(width, x(window.t + shares.every)) - from)}
                        height={LANE - 8}
                        fill={colors.series[lane % colors.series.length]}
                        opacity={0.12 + 0.88 * part}
                      >
                        <title>{`${lanes[lane] ?? ""}: ${percent(part)} of the values from ${timeText(window.t)} on`}</title>
                      </rect>
                    )
                  );
                }),
              )}
            <rect x={0} y={0} width={LEFT - 4} height={height} fill={colors.card} />
            {lanes.map((lane, i) => (
              <text key={lane} x={0} y={i * LANE + LANE / 2 + 5} fill={colors.ink}>
                {lane.length > 14 ? `${lane.slice(0, 13)}…` : lane}
              </text>
            ))}
          </svg>
        )}
      </div>
      <figcaption id={keys}>
        {found.loading && !found.data ? (
          <Loading what="Reading" />
        ) : shares ? (
          <p class="small muted">
            {sharesText(shares, span)} There are more changes than can be drawn: the darker, the more of the values of each
            moment. Come closer to see all.
          </p>
        ) : (
          <p class="small muted">
            {inView.length
              ? lanes.map((lane, i) => `${lane}: ${durationText(sums[i] ?? 0)}`).join("; ") + "."
              : "There is nothing from this time."}
          </p>
        )}
        <p class="sr">Arrow keys move in time, plus and minus zoom. All values are in the table.</p>
      </figcaption>
    </figure>
  );
}

/** Which part of the values of each window are which value, where there are too many changes to draw each. */
interface Shares {
  readonly every: number;
  readonly lanes: readonly string[];
  readonly windows: readonly { readonly t: number; readonly n: number; readonly parts: readonly number[] }[];
}

async function readShares(
  path: StreamPath,
  transform: string,
  t1: number,
  t2: number,
  every: number,
  signal: AbortSignal,
): Promise<Shares> {
  const read = (range: { readonly every?: string; readonly stat?: string }, ...scripts: readonly string[]) => {
    const script = piped(transform, ...scripts);
    return readPoints(path, { t1, t2, ...range, ...(script ? { transform: script } : {}) }, signal);
  };
  const counts = async (script: string): Promise<ReadonlyMap<number, number>> => {
    const windows = await read({ every: everyText(every), stat: "count" }, script);
    return new Map(windows.map(({ t, d }) => [t, (d as { readonly count: number }).count]));
  };
  const [counted] = await read({}, "map($, count) | if last");
  const all = Object.entries((counted?.d ?? {}) as Readonly<Record<string, number>>).sort((a, b) => b[1] - a[1]);
  const asked = all.slice(0, all.length > LANES_MAX ? LANES_MAX - 1 : LANES_MAX).map(([name]) => name);
  const totals = await counts("");
  const parts: (readonly [lane: string, found: ReadonlyMap<number, number>])[] = [];
  for (const name of asked) {
    const isBoolean = name === "true" || name === "false";
    const lane = isBoolean ? (name === "true" ? "yes" : "no") : name;
    parts.push([lane, await counts(`if $ == ${isBoolean ? name : JSON.stringify(name)}`)]);
  }
  parts.sort(([a], [b]) => (a === "no" ? 1 : b === "no" ? -1 : a < b ? -1 : 1));
  const windows = [...totals].map(([t, n]) => {
    const own = parts.map(([, found]) => (found.get(t) ?? 0) / n);
    return { t, n, parts: all.length > asked.length ? [...own, 1 - own.reduce((sum, part) => sum + part, 0)] : own };
  });
  const lanes = parts.map(([lane]) => lane);
  return { every, lanes: all.length > asked.length ? [...lanes, OTHERS] : lanes, windows };
}

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;

function sharesText({ lanes, windows, every }: Shares, span: Span): string {
  const inView = windows.filter(({ t }) => t + every > span.t1 && t < span.t2);
  const n = inView.reduce((sum, window) => sum + window.n, 0);
  if (!n) return "There is nothing from this time.";
  const part = (lane: number): number => inView.reduce((sum, window) => sum + window.n * (window.parts[lane] ?? 0), 0) / n;
  return `Of the values, ${lanes.map((name, lane) => `${name}: ${percent(part(lane))}`).join("; ")}.`;
}

/** Each value until the next one that differs; the last one until `end`. */
export function stretchesOf(points: readonly Point[], end: number): Stretch[] {
  const out: { from: number; to: number; value: Json }[] = [];
  for (const { t, d } of points) {
    const last = out.at(-1);
    if (last) last.to = t;
    if (!last || JSON.stringify(last.value) !== JSON.stringify(d)) out.push({ from: t, to: t, value: d });
  }
  const last = out.at(-1);
  if (last) last.to = Math.max(last.to, end);
  return out;
}

const nameOf = (value: Json): string =>
  typeof value === "boolean" ? (value ? "yes" : "no") : value === null ? "(nothing)" : valueText(value, 60);

const OTHERS = "(others)";

function lanesOf(stretches: readonly Stretch[]): string[] {
  const names = [...new Set(stretches.map((stretch) => nameOf(stretch.value)))];
  if (names.every((name) => name === "yes" || name === "no")) return names.length ? ["yes", "no"] : [];
  return names.length > LANES_MAX ? [...names.slice(0, LANES_MAX - 1), OTHERS] : names.sort();
}

function laneOf(value: Json, lanes: readonly string[]): string {
  const name = nameOf(value);
  return lanes.includes(name) ? name : OTHERS;
}
