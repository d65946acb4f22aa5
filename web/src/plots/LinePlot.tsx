import "uplot/dist/uPlot.min.css";

import uPlot from "uplot";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { timeText, zone } from "../lib/time";
import { Fault } from "../ui/basics";
import { useId } from "../ui/hooks";
import { useGestures } from "./gestures";
import { numberText } from "./kinds";
import { axisTexts, axisTimes, savePicture, STEPS, thin, usePalette, useWidth } from "./looks";
import type { Span } from "./range";
import type { Curve, Progress, ViewSource } from "./source";
import { Turns } from "./turns";

const SETTLE_MS = 60;
const NOTHING: Curve = { t: [], mid: [], lo: null, hi: null, every: 0 };

/** A line over time; where there are more values than pixels, the mean of each moment with a band from smallest to largest. */
export default function LinePlot({
  source,
  span,
  inView,
  onSpan,
  revision,
  label,
  height = 360,
  saveAs,
}: {
  source: ViewSource;
  span: Span;
  /** What was chosen to be in view, if `span` follows what comes. */
  inView?: string;
  onSpan: (span: Span) => void;
  /** Changes when `source` has taken in something new. */
  revision: number;
  label: string;
  height?: number;
  /** Called with a function that saves the plot as a picture. */
  saveAs?: (save: ((name: string) => void) | null) => void;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const holder = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [progress, setProgress] = useState<Progress | null>(null);
  const [error, setError] = useState<unknown>(undefined);
  const colors = usePalette();
  const width = useWidth(frame);
  const zoneName = zone.value;
  const curve = progress?.curve ?? NOTHING;
  const shown = useRef(curve);
  shown.current = curve;
  const keys = useId("keys");

  useGestures(
    frame,
    () => {
      const over = plot.current?.over.getBoundingClientRect();
      return over ? { left: over.left, width: over.width } : null;
    },
    span,
    onSpan,
  );

  // What belongs into the view is asked for when it has been still for a moment.
  const turns = useMemo(() => new Turns(), []);
  const look = inView ?? `${span.t1} ${span.t2}`;
  useEffect(() => {
    if (!width) return undefined;
    const read = async (signal: AbortSignal): Promise<void> => {
      setError(undefined);
      try {
        await source.view(span.t1, span.t2, width, setProgress, signal);
      } catch (e) {
        if (!signal.aborted) setError(e);
      }
    };
    const timer = setTimeout(() => turns.take([source, width, look], read), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [source, look, span.t1, span.t2, width, revision]);
  useEffect(() => () => turns.end(), []);

  useEffect(() => {
    if (!holder.current || !width) return undefined;
    const [color = ""] = colors.series;
    const axis = { stroke: colors.faint, grid: { stroke: colors.line, width: 1 }, ticks: { stroke: colors.line, width: 1 } };
    const made = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, y: false, points: { size: 8 } },
        scales: { x: { time: true, auto: false }, y: { range: rangeOf } },
        axes: [
          {
            ...axis,
            incrs: [...STEPS],
            splits: (_u, _i, t1, t2, step) => axisTimes(t1, t2, step, zoneName),
            values: (_u, splits, _i, _space, step) => axisTexts(splits, step, zoneName),
            size: 46,
          },
          { ...axis, values: (_u, splits) => splits.map(numberText), size: sizeOf },
        ],
        series: [
          {},
          { stroke: color, width: 1.75, points: { size: 6 } },
          // A peak of a single value is a narrow band: its edges let it be seen.
          { stroke: thin(color, 0.6), width: 1, points: { show: false } },
          { stroke: thin(color, 0.6), width: 1, points: { show: false } },
        ],
        bands: [{ series: [2, 3], fill: thin(color, 0.28) }],
        hooks: {
          setCursor: [
            (u) => {
              if (readout.current) readout.current.textContent = tell(shown.current, u.cursor.idx);
            },
          ],
        },
      },
      columns(shown.current),
      holder.current,
    );
    plot.current = made;
    saveAs?.((name) => savePicture(made.ctx.canvas, name, colors.card));
    return () => {
      plot.current = null;
      saveAs?.(null);
      made.destroy();
    };
  }, [width, height, colors, zoneName]);

  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    made.batch(() => {
      made.setData(columns(curve), false);
      made.setScale("x", { min: span.t1, max: span.t2 });
    });
  }, [curve, span.t1, span.t2, width, height, colors, zoneName]);

  const summary = useMemo(() => summaryOf(curve, span), [curve, span.t1, span.t2]);
  return (
    <figure class="plot">
      <Fault error={error} />
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it is moved and zoomed by keys */}
      <div ref={frame} class="plot-frame" role="group" tabIndex={0} aria-label={`Line plot of ${label}`} aria-describedby={keys}>
        <div ref={holder} aria-hidden="true" />
      </div>
      <figcaption id={keys}>
        <p ref={readout} class="readout" aria-hidden="true" />
        <p class="small muted">
          {progress === null ? "Reading…" : summary}
          {progress !== null && !progress.complete && " Reading more…"}
          {progress !== null && progress.n > 0 && curve.every > 0 && ` The line is the mean, the band goes from the smallest to the largest of each moment.`}
        </p>
        <p class="sr">Arrow keys move in time, plus and minus zoom. All values are in the table.</p>
      </figcaption>
    </figure>
  );
}

function columns({ t, mid, lo, hi }: Curve): uPlot.AlignedData {
  const none = t.map(() => null);
  return [t as number[], mid as (number | null)[], (hi ?? none) as (number | null)[], (lo ?? none) as (number | null)[]];
}

/** From the smallest to the largest value in view, with some room. */
function rangeOf(_u: uPlot, min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  if (min === max) {
    const room = Math.abs(min) * 0.05 || 1;
    return [min - room, max + room];
  }
  const room = (max - min) * 0.06;
  return [min >= 0 && min < room ? 0 : min - room, max + room];
}

function sizeOf(_u: uPlot, values: string[] | null): number {
  const longest = Math.max(3, ...(values ?? []).map((text) => text.length));
  return 18 + longest * 7.2;
}

function tell(curve: Curve, index: number | null | undefined): string {
  if (index === null || index === undefined) return "";
  const t = curve.t[index];
  const mid = curve.mid[index];
  if (t === undefined || mid === null || mid === undefined) return "";
  const lo = curve.lo?.[index];
  const hi = curve.hi?.[index];
  const band = typeof lo === "number" && typeof hi === "number" ? ` (${numberText(lo)} to ${numberText(hi)})` : "";
  return `${timeText(curve.every ? t - curve.every / 2 : t)}: ${numberText(mid)}${band}`;
}

function summaryOf({ t, mid, lo, hi, every }: Curve, span: Span): string {
  let [least, most, last, lastT] = [Infinity, -Infinity, NaN, NaN];
  for (const [i, time] of t.entries()) {
    const value = mid[i];
    if (time < span.t1 || time > span.t2 || value === null || value === undefined) continue;
    least = Math.min(least, lo?.[i] ?? value);
    most = Math.max(most, hi?.[i] ?? value);
    last = value;
    lastT = time - every / 2;
  }
  if (least === Infinity) return "There is nothing from this time.";
  return `From ${numberText(least)} to ${numberText(most)}; at the end ${numberText(last)} (${timeText(lastT, { seconds: false })}).`;
}
