import { useEffect, useRef } from "preact/hooks";

import { readPoints, type StreamPath } from "../api";
import { Fault, Loading } from "../ui/basics";
import { useLoad } from "../ui/hooks";
import { numberText } from "./kinds";
import { saveSvg, usePalette, useWidth } from "./looks";
import type { Span } from "./range";

const BINS = 24;
const SHOWN = 30;
const HEIGHT = 300;
const FOOT = 26;
const LEFT = 56;

interface Props {
  path: StreamPath;
  transform: string;
  span: Span;
  revision: number;
  label: string;
  saveAs?: (save: ((name: string) => void) | null) => void;
}

const piped = (...scripts: readonly string[]): string => scripts.filter(Boolean).join(" | ");
const times = (span: Span) => ({ t1: Math.max(0, span.t1 - 1e-6), t2: Math.max(span.t2, 1e-6) });

interface Numbers {
  readonly n: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly sd: number;
  readonly median: number;
}

const NUMBERS =
  '{"n": count, "min": min, "max": max, "mean": mean, "sd": stddev, "median": quantile(0.5)} | if last';

/** A width that a person would choose for `n` parts of `size`. */
export function niceWidth(size: number, n: number): number {
  if (!(size > 0)) return 1;
  const rough = size / n;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const found = [1, 2, 5, 10].find((factor) => factor * unit >= rough) ?? 10;
  return Number((found * unit).toPrecision(6));
}

/** How often numbers came that lie in equal parts of what there is. Counted by the server, over any number of them. */
export function Histogram({ path, transform, span, revision, label, saveAs }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(frame);
  const colors = usePalette();
  const found = useLoad(
    async (signal) => {
      const [summary] = await readPoints(path, { ...times(span), transform: piped(transform, NUMBERS) }, signal);
      if (!summary) return null;
      const numbers = summary.d as unknown as Numbers;
      const size = niceWidth(numbers.max - numbers.min, BINS);
      const bucket = `map(bucket(${decimal(size)}), count) | if last`;
      const [counted] = await readPoints(path, { ...times(span), transform: piped(transform, bucket) }, signal);
      return { numbers, bins: binsOf(counted?.d as Readonly<Record<string, number>>, size) };
    },
    [path, transform, span, revision],
  );
  useEffect(() => {
    saveAs?.((name) => {
      if (svg.current) void saveSvg(svg.current, name, colors.card);
    });
    return () => saveAs?.(null);
  }, [colors]);
  const { data } = found;
  const most = Math.max(1, ...(data?.bins ?? []).map((bin) => bin.n));
  const bar = data ? (width - LEFT) / Math.max(1, data.bins.length) : 0;
  const every = Math.max(1, Math.ceil(60 / Math.max(1, bar)));
  return (
    <figure class="plot" ref={frame}>
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !data && <Loading what="Counting" />}
      {data === null && <p class="muted">There is nothing from this time.</p>}
      {data && width > 0 && (
        <>
          <svg ref={svg} width={width} height={HEIGHT + FOOT} role="img" aria-label={`Histogram of ${label}`} fontFamily="system-ui, sans-serif" fontSize={13}>
            {[0, 0.5, 1].map((part) => (
              <g key={part}>
                <line x1={LEFT} x2={width} y1={HEIGHT * (1 - part * 0.95)} y2={HEIGHT * (1 - part * 0.95)} stroke={colors.line} />
                <text x={LEFT - 6} y={HEIGHT * (1 - part * 0.95) + 4} textAnchor="end" fill={colors.faint}>
                  {numberText(Math.round(most * part))}
                </text>
              </g>
            ))}
            {data.bins.map((bin, i) => {
              const height = (bin.n / most) * HEIGHT * 0.95;
              return (
                <g key={bin.from}>
                  <rect x={LEFT + i * bar + 1} y={HEIGHT - height} width={Math.max(1, bar - 2)} height={height} fill={colors.series[0]}>
                    <title>{`${numberText(bin.from)} to below ${numberText(bin.to)}: ${bin.n.toLocaleString("en")}`}</title>
                  </rect>
                  {i % every === 0 && (
                    <text x={LEFT + i * bar} y={HEIGHT + 18} textAnchor="middle" fill={colors.faint}>
                      {numberText(bin.from)}
                    </text>
                  )}
                </g>
              );
            })}
          </svg>
          <dl class="facts">
            <Fact name="Values" value={data.numbers.n} />
            <Fact name="Mean" value={data.numbers.mean} />
            <Fact name="Median" value={data.numbers.median} />
            <Fact name="Spread (standard deviation)" value={data.numbers.sd} />
            <Fact name="Smallest" value={data.numbers.min} />
            <Fact name="Largest" value={data.numbers.max} />
          </dl>
        </>
      )}
    </figure>
  );
}

function Fact({ name, value }: { name: string; value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{numberText(value)}</dd>
    </div>
  );
}

/** As PipeScript writes numbers: without an exponent. */
const decimal = (value: number): string => value.toFixed(12).replace(/\.?0+$/, "");

interface Bin {
  readonly from: number;
  readonly to: number;
  readonly n: number;
}

/** The parts in order, with those between them in which there is nothing. */
export function binsOf(counted: Readonly<Record<string, number>> | undefined, size: number): Bin[] {
  const bins = Object.entries(counted ?? {}).map(([text, n]) => {
    const from = Number(/^\[(.*),/.exec(text)?.[1] ?? NaN);
    return { k: Math.round(from / size), n };
  });
  bins.sort((a, b) => a.k - b.k);
  const out: Bin[] = [];
  for (const { k, n } of bins) {
    const last = out.at(-1);
    for (let j = last ? Math.round(last.to / size) : k; j < k && out.length < 200; j++) out.push(bin(j, size, 0));
    out.push(bin(k, size, n));
  }
  return out;
}

const bin = (k: number, size: number, n: number): Bin => ({
  from: Number((k * size).toPrecision(12)),
  to: Number(((k + 1) * size).toPrecision(12)),
  n,
});

/** How often each value came. */
export function Bars({ path, transform, span, revision, label }: Props) {
  const found = useLoad(
    async (signal) => {
      const [counted] = await readPoints(path, { ...times(span), transform: piped(transform, "map($, count) | if last") }, signal);
      const all = Object.entries((counted?.d ?? {}) as Readonly<Record<string, number>>);
      return all.sort((a, b) => b[1] - a[1]);
    },
    [path, transform, span, revision],
  );
  const all = found.data ?? [];
  const total = all.reduce((sum, [, n]) => sum + n, 0);
  const most = all[0]?.[1] ?? 1;
  return (
    <figure class="plot">
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading what="Counting" />}
      {found.data?.length === 0 && <p class="muted">There is nothing from this time.</p>}
      {all.length > 0 && (
        <table class="bars">
          <caption>
            How often each value of {label} came ({total.toLocaleString("en")} in all)
          </caption>
          <thead class="sr">
            <tr>
              <th scope="col">Value</th>
              <th scope="col">How often</th>
            </tr>
          </thead>
          <tbody>
            {all.slice(0, SHOWN).map(([value, n]) => (
              <tr key={value}>
                <th scope="row">{value === "true" ? "yes" : value === "false" ? "no" : value.length > 60 ? `${value.slice(0, 60)}…` : value || "(empty)"}</th>
                <td>
                  <span class="bar" style={{ width: `${(70 * n) / most}%` }} aria-hidden="true" />
                  <span>
                    {n.toLocaleString("en")} <span class="muted">({((100 * n) / total).toFixed(1)} %)</span>
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
