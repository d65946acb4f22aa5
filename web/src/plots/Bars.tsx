import { useEffect, useMemo, useRef } from "preact/hooks";

import { queried, readPoints, type StreamPath } from "../api";
import { Fault, Loading } from "../ui/basics";
import { count, piped, useCounting, type Counted, type Counting, type Counts } from "./counting";
import { numberText } from "./kinds";
import { savePicture, saveSvg, usePalette, useWidth, type Palette } from "./looks";
import type { Span } from "./range";

const BINS = 24;
/** Each bar is counted in so many parts, for the median: a power of two, so that each part is in one bar wholly. */
const FINE = 64;
/** Of more values than this the server knows no exact median. */
const EXACT_MAX = 1_000_000;
const SHOWN = 30;
const HEIGHT = 300;
const FOOT = 26;
const LEFT = 56;

interface Props {
  path: StreamPath;
  transform: string;
  span: Span;
  /** What was chosen to be in view: `span` changes when values come, this does not. */
  inView: string;
  revision: number;
  label: string;
  saveAs?: (save: ((name: string) => void) | null) => void;
}

interface Numbers {
  readonly n: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
}

interface Shares {
  readonly numbers: Numbers;
  readonly bins: readonly Bin[];
  readonly fine: readonly Bin[];
  /** Not known of very many values. */
  readonly exact: Exact | null;
}

interface Exact {
  readonly sd: number;
  readonly median: number;
}

const NUMBERS = '{"n": count, "min": min, "max": max, "mean": mean} | if last';
const EXACT = '{"sd": stddev, "median": quantile(0.5)} | if last';

/** A width that a person would choose for `n` parts of `size`. */
export const niceWidth = (size: number, n: number): number => (size > 0 ? niceStep(size / n) : 1);

/** The first of 1, 2, 5, 10, 20, ... and of their tenths that is not below `rough`. */
export function niceStep(rough: number): number {
  const unit = 10 ** Math.floor(Math.log10(rough));
  const found = [1, 2, 5, 10].find((factor) => factor * unit >= rough) ?? 10;
  return Number((found * unit).toPrecision(6));
}

/** Round numbers from 0 up to `most` of something that is counted. */
export function ticksTo(most: number): number[] {
  const step = Math.max(1, niceStep(most / 4));
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, k) => k * step);
}

const isMultiple = (value: number, step: number): boolean => Math.abs(value / step - Math.round(value / step)) < 1e-6;

/** How often numbers came that lie in equal parts of what there is. Counted by the server, over any number of them. */
export function Histogram({ path, transform, span, inView, revision, label, saveAs }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(frame);
  const colors = usePalette();
  const counting = useCounting<Shares | null>(
    async (show, signal) => {
      const [summary] = await readPoints(path, { ...queried(span), transform: piped(transform, NUMBERS) }, signal);
      if (!summary) return { done: 0, n: 0, value: null };
      const numbers = summary.d as unknown as Numbers;
      const size = niceWidth(numbers.max - numbers.min, BINS);
      const [exact] =
        numbers.n <= EXACT_MAX ? await readPoints(path, { ...queried(span), transform: piped(transform, EXACT) }, signal) : [];
      const script = `map(bucket(${decimal(size / FINE)}), count) | if last`;
      const told = ({ value, ...progress }: Counted<Counts>): Counted<Shares> => {
        const fine = binsOf(value, size / FINE);
        const bins = gathered(fine, size);
        return { ...progress, value: { numbers, bins, fine, exact: (exact?.d ?? null) as Exact | null } };
      };
      return told(await count(path, transform, span, script, (counted) => show(told(counted)), signal));
    },
    [path, transform, inView],
    revision,
  );
  useEffect(() => {
    saveAs?.((name) => {
      if (svg.current) void saveSvg(svg.current, name, colors.card);
    });
    return () => saveAs?.(null);
  }, [colors]);
  const data = counting.shown?.value;
  const spread = data && (data.exact ?? roughly(data.fine, data.numbers.mean));
  const most = Math.max(1, ...(data?.bins ?? []).map((bin) => bin.n));
  const bar = data ? (width - LEFT) / Math.max(1, data.bins.length) : 0;
  const size = data?.bins[0] ? data.bins[0].to - data.bins[0].from : 1;
  const step = niceStep((60 * size) / Math.max(1, bar));
  const counts = ticksTo(most);
  return (
    <figure class="plot" ref={frame}>
      <How counting={counting} />
      {data === null && <p class="muted">There is nothing from this time.</p>}
      {data && spread && width > 0 && (
        <>
          <svg ref={svg} width={width} height={HEIGHT + FOOT} role="img" aria-label={`Histogram of ${label}`} font-family="system-ui, sans-serif" font-size={13}>
            {counts.map((n) => {
              const y = HEIGHT * (1 - (n / most) * 0.95);
              return (
                <g key={n}>
                  <line x1={LEFT} x2={width} y1={y} y2={y} stroke={colors.line} />
                  <text x={LEFT - 6} y={y + 4} text-anchor="end" fill={colors.faint}>
                    {numberText(n)}
                  </text>
                </g>
              );
            })}
            {data.bins.map((bin, i) => {
              const height = (bin.n / most) * HEIGHT * 0.95;
              return (
                <g key={bin.from}>
                  <rect x={LEFT + i * bar + 1} y={HEIGHT - height} width={Math.max(1, bar - 2)} height={height} fill={colors.series[0]}>
                    <title>{`${numberText(bin.from)} to below ${numberText(bin.to)}: ${bin.n.toLocaleString("en")}`}</title>
                  </rect>
                  {isMultiple(bin.from, step) && (
                    <text x={LEFT + i * bar} y={HEIGHT + 18} text-anchor="middle" fill={colors.faint}>
                      {numberText(bin.from)}
                    </text>
                  )}
                </g>
              );
            })}
          </svg>
          <dl class="facts">
            <Fact name="Values" value={numberText(data.numbers.n)} />
            <Fact name="Mean" value={numberText(data.numbers.mean)} />
            <Fact name="Median" value={typeof spread.median === "number" ? numberText(spread.median) : spread.median} />
            <Fact name="Spread (standard deviation)" value={typeof spread.sd === "number" ? numberText(spread.sd) : spread.sd} />
            <Fact name="Smallest" value={numberText(data.numbers.min)} />
            <Fact name="Largest" value={numberText(data.numbers.max)} />
          </dl>
        </>
      )}
    </figure>
  );
}

/** What is counted yet, and what is not. */
function How({ counting }: { counting: Counting<unknown> }) {
  const { shown, behind, loading, error, again } = counting;
  const part = shown && shown.done < shown.n;
  return (
    <>
      <Fault error={error} retry={again} />
      {loading && !shown && <Loading what="Counting" />}
      {part && (
        <p role="status" class="small">
          {`Counted ${loading ? "so far" : "only"}: the newest ${shown.done.toLocaleString("en")} of ${shown.n.toLocaleString("en")} values.`}
        </p>
      )}
      {behind && !loading && (
        <p class="small">
          Something has changed since this was counted.{" "}
          <button type="button" onClick={again}>
            Count again
          </button>
        </p>
      )}
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** As PipeScript writes numbers: without an exponent. */
const decimal = (value: number): string => value.toFixed(20).replace(/\.?0+$/, "");

interface Bin {
  readonly from: number;
  readonly to: number;
  readonly n: number;
}

/** The parts in order. */
export function binsOf(counted: Counts, size: number): Bin[] {
  const bins = Object.entries(counted).map(([text, n]) => {
    const from = Number(/^\[(.*),/.exec(text)?.[1] ?? NaN);
    return { k: Math.round(from / size), n };
  });
  return bins.sort((a, b) => a.k - b.k).map(({ k, n }) => bin(k, size, n));
}

/** Put together to larger parts of `size`, with those between them in which there is nothing. */
export function gathered(fine: readonly Bin[], size: number): Bin[] {
  const out: Bin[] = [];
  for (const { from, to, n } of fine) {
    const k = Math.floor((from + to) / 2 / size);
    const last = out.at(-1);
    if (last && k * size < last.to - size / 2) out[out.length - 1] = { ...last, n: last.n + n };
    else {
      for (let j = last ? Math.round(last.to / size) : k; j < k && out.length < 200; j++) out.push(bin(j, size, 0));
      out.push(bin(k, size, n));
    }
  }
  return out;
}

const bin = (k: number, size: number, n: number): Bin => ({
  from: Number((k * size).toPrecision(12)),
  to: Number(((k + 1) * size).toPrecision(12)),
  n,
});

/** What can be said of median and spread from how many numbers are in each part. */
export function roughly(fine: readonly Bin[], mean: number): { readonly median: string; readonly sd: string } {
  const n = fine.reduce((sum, part) => sum + part.n, 0);
  let [below, median, squares] = [0, "–", 0];
  for (const part of fine) {
    if (below < n / 2 && below + part.n >= n / 2) median = `${numberText(part.from)} to ${numberText(part.to)}`;
    below += part.n;
    squares += part.n * ((part.from + part.to) / 2 - mean) ** 2;
  }
  const sd = Math.sqrt(squares / Math.max(1, n));
  const off = ((fine[0]?.to ?? 0) - (fine[0]?.from ?? 0)) / 2;
  return { median, sd: off > sd / 10 ? "–" : `about ${numberText(Number(sd.toPrecision(3)))}` };
}

/** How often each value came. */
export function Bars({ path, transform, span, inView, revision, label, saveAs }: Props) {
  const colors = usePalette();
  const counting = useCounting<Counts>(
    (show, signal) => count(path, transform, span, "map($, count) | if last", show, signal),
    [path, transform, inView],
    revision,
  );
  const { shown } = counting;
  const counts: Counts = shown?.value ?? NOTHING;
  const all = useMemo(() => Object.entries(counts).sort((a, b) => b[1] - a[1]), [counts]);
  const total = all.reduce((sum, [, n]) => sum + n, 0);
  const rows = all.slice(0, SHOWN).map(([value, n]) => ({ value, name: nameOf(value), n, part: `${((100 * n) / total).toFixed(1)} %` }));
  const most = all[0]?.[1] ?? 1;
  const caption = `How often each value of ${label} came (${total.toLocaleString("en")} in all)`;
  useEffect(() => {
    if (rows.length) saveAs?.((name) => savePicture(barsPicture(caption, rows, colors), name, colors.card));
    return () => saveAs?.(null);
  }, [shown, colors]);
  return (
    <figure class="plot">
      <How counting={counting} />
      {shown?.n === 0 && <p class="muted">There is nothing from this time.</p>}
      {all.length > 0 && (
        <table class="bars">
          <caption>{caption}</caption>
          <thead class="sr">
            <tr>
              <th scope="col">Value</th>
              <th scope="col">How often</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ value, name, n, part }) => (
              <tr key={value}>
                <th scope="row">{name}</th>
                <td>
                  <span class="bar" style={{ width: `${(70 * n) / most}%` }} aria-hidden="true" />
                  <span>
                    {n.toLocaleString("en")} <span class="muted">({part})</span>
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {all.length > SHOWN && <p class="muted">And {(all.length - SHOWN).toLocaleString("en")} other values, which came less often.</p>}
    </figure>
  );
}

const NOTHING: Counts = {};

const nameOf = (value: string): string =>
  value === "true" ? "yes" : value === "false" ? "no" : value.length > 60 ? `${value.slice(0, 60)}…` : value || "(empty)";

/** The bars as a drawing: in the page they are a table. */
function barsPicture(
  caption: string,
  rows: readonly { readonly name: string; readonly n: number; readonly part: string }[],
  colors: Palette,
): HTMLCanvasElement {
  const [width, row, top, scale] = [800, 30, 44, 2];
  const canvas = document.createElement("canvas");
  canvas.width = width * scale;
  canvas.height = (top + rows.length * row + 12) * scale;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  context.scale(scale, scale);
  context.font = "14px system-ui, sans-serif";
  context.textBaseline = "middle";
  const left = 24 + Math.min(240, Math.max(...rows.map(({ name }) => context.measureText(name).width)));
  const most = Math.max(...rows.map(({ n }) => n));
  context.fillStyle = colors.ink;
  context.fillText(caption, 12, 20, width - 24);
  for (const [i, { name, n, part }] of rows.entries()) {
    const y = top + (i + 0.5) * row;
    const long = ((width - left - 190) * n) / most;
    context.fillStyle = colors.ink;
    context.textAlign = "right";
    context.fillText(name, left - 8, y, left - 16);
    context.textAlign = "left";
    context.fillText(`${n.toLocaleString("en")} (${part})`, left + long + 8, y);
    context.fillStyle = colors.series[0] ?? colors.ink;
    context.fillRect(left, y - row * 0.35, Math.max(1, long), row * 0.7);
  }
  return canvas;
}
