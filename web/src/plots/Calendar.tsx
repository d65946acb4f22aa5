import { useEffect, useRef, useState } from "preact/hooks";

import { EPSILON_S, queried, readPoints, type StreamPath } from "../api";
import { DAY, dateText, parseLocal, partsIn, zone } from "../lib/time";
import { Fault, Loading } from "../ui/basics";
import { SelectField } from "../ui/fields";
import { useLoad } from "../ui/hooks";
import { numberText } from "./kinds";
import { saveSvg, thin, usePalette } from "./looks";
import type { Span } from "./range";

type Stat = "mean" | "sum" | "min" | "max" | "count";

const STATS: readonly (readonly [Stat, string])[] = [
  ["mean", "Mean"],
  ["sum", "Sum"],
  ["min", "Smallest"],
  ["max", "Largest"],
  ["count", "How many"],
];
const CELL = 15;
const TOP = 22;
const LEFT = 34;
const YEARS_MAX = 12;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A square for each day, the darker the more. Days are those of the person's calendar. */
export default function Calendar({
  path,
  transform,
  span,
  numeric,
  revision,
  label,
  saveAs,
}: {
  path: StreamPath;
  transform: string;
  span: Span;
  numeric: boolean;
  revision: number;
  label: string;
  saveAs?: (save: ((name: string) => void) | null) => void;
}) {
  const [chosen, setStat] = useState<Stat>("mean");
  const stat = numeric ? chosen : "count";
  const colors = usePalette();
  const svg = useRef<SVGSVGElement>(null);
  const zoneName = zone.value;
  const last = partsIn(span.t2, zoneName)?.year ?? 2000;
  const first = Math.max(partsIn(span.t1, zoneName)?.year ?? last, last - YEARS_MAX + 1);
  const found = useLoad(
    async (signal) => {
      const t1 = parseLocal(`${String(first).padStart(4, "0")}-01-01`) ?? 0;
      const t2 = parseLocal(`${String(last + 1).padStart(4, "0")}-01-01`) ?? 0;
      const range = { ...queried({ t1, t2: t2 - EPSILON_S }), every: "1d", stat, zone: zoneName };
      const points = await readPoints(path, transform ? { ...range, transform } : range, signal);
      return new Map(
        points.map(({ t, d }) => [dateText(t + 1), (d as Readonly<Record<Stat, number>>)[stat]] as const),
      );
    },
    [path, transform, first, last, stat, zoneName],
    revision,
  );
  useEffect(() => {
    saveAs?.((name) => {
      if (svg.current) void saveSvg(svg.current, name, colors.card);
    });
    return () => saveAs?.(null);
  }, [colors]);
  const frame = useRef<HTMLDivElement>(null);
  const end = partsIn(span.t2, zoneName)?.month ?? 12;
  // A narrow screen begins with the end of what was asked for, not with an empty January.
  useEffect(() => {
    if (frame.current) frame.current.scrollLeft = LEFT + (end / 12) * 53 * CELL - frame.current.clientWidth;
  }, [found.data === undefined, first, last, end]);
  const values = [...(found.data?.values() ?? [])];
  const least = Math.min(...values);
  const most = Math.max(...values);
  const shade = (value: number): number => (most === least ? 0.75 : 0.15 + (0.85 * (value - least)) / (most - least));
  const years = Array.from({ length: last - first + 1 }, (_, i) => last - i);
  const width = LEFT + 54 * CELL;
  const height = TOP + 7 * CELL + 10;
  const [color = ""] = colors.series;
  return (
    <figure class="plot">
      <Fault error={found.error} retry={found.reload} />
      {numeric && <SelectField label="Of each day" value={stat} options={STATS} onChange={setStat} />}
      {found.loading && !found.data && <Loading what="Reading" />}
      {found.data && (
        <>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
          <div class="scroll" ref={frame} tabIndex={0} role="region" aria-label={`Calendar of ${label}`}>
            <svg
              ref={svg}
              width={width}
              height={height * years.length}
              role="img"
              aria-label={
                values.length
                  ? `${values.length} days with values, from ${numberText(least)} to ${numberText(most)}`
                  : "No day with values"
              }
              font-family="system-ui, sans-serif"
              font-size={12}
            >
              {years.map((year, i) => (
                <Year
                  key={year}
                  year={year}
                  y={i * height}
                  values={found.data ?? new Map<string, number>()}
                  fill={(value) => (value === undefined ? thin(colors.line, 0.5) : thin(color, shade(value)))}
                  ink={colors.faint}
                />
              ))}
            </svg>
          </div>
          <p class="small muted">
            {values.length
              ? `From ${numberText(least)} (light) to ${numberText(most)} (dark), on ${values.length} days; days are those in ${zoneName}.`
              : "There is nothing from these years."}
          </p>
        </>
      )}
    </figure>
  );
}

function Year({
  year,
  y,
  values,
  fill,
  ink,
}: {
  year: number;
  y: number;
  values: ReadonlyMap<string, number>;
  fill: (value: number | undefined) => string;
  ink: string;
}) {
  const start = Date.UTC(year, 0, 1) / 1000;
  const days = (Date.UTC(year + 1, 0, 1) / 1000 - start) / DAY;
  const lead = (new Date(start * 1000).getUTCDay() + 6) % 7;
  return (
    <g transform={`translate(0 ${y})`}>
      <text x={0} y={TOP - 8} fill={ink} font-weight={600}>
        {year}
      </text>
      {MONTHS.map((name, month) => {
        const day = (Date.UTC(year, month, 1) / 1000 - start) / DAY;
        return (
          <text key={name} x={LEFT + Math.ceil((day + lead) / 7) * CELL} y={TOP - 8} fill={ink}>
            {month === 0 ? "" : name}
          </text>
        );
      })}
      {["Mon", "Wed", "Fri"].map((name, i) => (
        <text key={name} x={0} y={TOP + (2 * i + 1) * CELL - 3} fill={ink}>
          {name}
        </text>
      ))}
      {Array.from({ length: days }, (_, i) => {
        const date = new Date((start + i * DAY) * 1000).toISOString().slice(0, 10);
        const value = values.get(date);
        return (
          <rect
            key={date}
            x={LEFT + Math.floor((i + lead) / 7) * CELL}
            y={TOP + ((i + lead) % 7) * CELL}
            width={CELL - 2}
            height={CELL - 2}
            rx={2}
            fill={fill(value)}
          >
            <title>{value === undefined ? `${date}: nothing` : `${date}: ${numberText(value)}`}</title>
          </rect>
        );
      })}
    </g>
  );
}
