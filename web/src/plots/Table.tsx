import { useRef, useState } from "preact/hooks";

import { indexAt, readPoints, type Json, type Point, type StreamPath } from "../api";
import { isObject } from "../lib/schema";
import { timeText } from "../lib/time";
import { Fault, Loading } from "../ui/basics";
import { useLoad } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { valueText } from "./kinds";
import type { Span } from "./range";

const PAGE = 50;
const SORTED_MAX = 5000;
const COLUMNS_MAX = 8;
/** The first page, newest values first. */
const FIRST = "0 true";

type Order = { readonly by: "time" | number; readonly down: boolean };

/** The values in a table, a page at a time; sorted by time, or, if they are not too many, by any column. */
export default function Table({
  path,
  transform,
  span,
  revision,
  label,
}: {
  path: StreamPath;
  transform: string;
  span: Span;
  revision: number;
  label: string;
}) {
  const [page, setPage] = useState(0);
  const [order, setOrder] = useState<Order>({ by: "time", down: true });
  const whole = useRef(false);
  const found = useLoad(
    async (signal) => {
      const [i1, i2] = await Promise.all([indexAt(path, Math.max(0, span.t1 - 1e-6), signal), indexAt(path, span.t2, signal)]);
      const n = i2 - i1;
      if (n === 0) return { n, points: [], whole: true };
      if (n <= SORTED_MAX || transform) {
        const range = { t1: Math.max(0, span.t1 - 1e-6), t2: Math.max(span.t2, 1e-6), limit: 2 * SORTED_MAX };
        const points = await readPoints(path, transform ? { ...range, transform } : range, signal);
        return { n: points.length, points, whole: true };
      }
      const from = order.down ? Math.max(i1, i2 - (page + 1) * PAGE) : i1 + page * PAGE;
      const to = order.down ? i2 - page * PAGE : Math.min(i2, from + PAGE);
      const points = to > from ? await readPoints(path, { i1: from, i2: to }, signal) : [];
      return { n, points: order.down ? [...points].reverse() : points, whole: false };
    },
    // Where all are there, turning pages and sorting needs no server.
    [path, transform, span, revision, whole.current ? FIRST : `${page} ${order.down}`],
  );
  const { data } = found;
  if (data) whole.current = data.whole;
  if (!data)
    return (
      <>
        <Fault error={found.error} retry={found.reload} />
        {found.loading && <Loading what="Reading" />}
      </>
    );
  const columns = columnsOf(data.points);
  const sortable = data.whole;
  const sorted = sortable ? sort(data.points, columns, order) : data.points;
  const rows = sortable ? sorted.slice(page * PAGE, (page + 1) * PAGE) : sorted;
  const pages = Math.max(1, Math.ceil(data.n / PAGE));
  const senders = rows.some((point) => point.o !== undefined);
  const heading = (by: "time" | number, text: string) => (
    <th scope="col" aria-sort={order.by === by ? (order.down ? "descending" : "ascending") : "none"} key={text}>
      {sortable || by === "time" ? (
        <button
          type="button"
          class="plain sort"
          onClick={() => {
            setOrder({ by, down: order.by === by ? !order.down : by === "time" });
            setPage(0);
          }}
        >
          {text} <span aria-hidden="true">{order.by === by ? (order.down ? "▾" : "▴") : "↕"}</span>
        </button>
      ) : (
        text
      )}
    </th>
  );
  return (
    <div>
      <Fault error={found.error} retry={found.reload} />
      {data.n === 0 ? (
        <p class="muted">There is nothing from this time.</p>
      ) : (
        <>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
          <div class="scroll" role="region" tabIndex={0} aria-label={`Table of ${label}`}>
            <table class="values">
              <caption class="sr">Values of {label}</caption>
              <thead>
                <tr>
                  {heading("time", "Time")}
                  {columns.length ? columns.map((name, i) => heading(i, name)) : heading(0, "Value")}
                  {senders && <th scope="col">Written by</th>}
                </tr>
              </thead>
              <tbody>
                {rows.map((point, i) => (
                  <tr key={`${point.t} ${i}`}>
                    <th scope="row">
                      <time dateTime={new Date(point.t * 1000).toISOString()}>{timeText(point.t)}</time>
                    </th>
                    {columns.length ? (
                      columns.map((name) => <Cell key={name} value={partOf(point.d, name)} />)
                    ) : (
                      <Cell value={point.d} />
                    )}
                    {senders && <td>{point.o ?? ""}</td>}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <nav class="pager" aria-label="Pages of the table">
            <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
              <Icon name="back" /> <span>Previous</span>
            </button>
            <span role="status">
              Page {(page + 1).toLocaleString("en")} of {pages.toLocaleString("en")} ({data.n.toLocaleString("en")} values)
            </span>
            <button type="button" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>
              <span>Next</span> <Icon name="next" />
            </button>
          </nav>
          {!sortable && (
            <p class="small muted">
              Up to {SORTED_MAX.toLocaleString("en")} values can be sorted by value: choose a shorter time for that.
            </p>
          )}
        </>
      )}
    </div>
  );
}

function Cell({ value }: { value: Json | undefined }) {
  const text = valueText(value, 2000);
  if (typeof value === "number") return <td class="number">{text}</td>;
  if (text.length <= 120) return <td>{text}</td>;
  return (
    <td>
      <details>
        <summary>{text.slice(0, 100)}…</summary>
        <span class="long-text">{text.slice(100)}</span>
      </details>
    </td>
  );
}

const partOf = (value: Json, name: string): Json | undefined => (isObject(value) ? value[name] : undefined);

/** The fields of objects, if all are objects with few fields; else none. */
function columnsOf(points: readonly Point[]): string[] {
  const names = new Set<string>();
  for (const { d } of points.slice(0, 500)) {
    if (!isObject(d)) return [];
    for (const name of Object.keys(d)) names.add(name);
  }
  return names.size <= COLUMNS_MAX ? [...names] : [];
}

function sort(points: readonly Point[], columns: readonly string[], order: Order): Point[] {
  const { by } = order;
  const key = (point: Point): Json | undefined => (by === "time" ? point.t : columns.length ? partOf(point.d, columns[by] ?? "") : point.d);
  const sorted = [...points].sort((a, b) => compare(key(a), key(b)));
  return order.down ? sorted.reverse() : sorted;
}

function compare(a: Json | undefined, b: Json | undefined): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return valueText(a).localeCompare(valueText(b), "en", { numeric: true });
}
