import { useEffect, useRef, useState } from "preact/hooks";

import {
  deletePoint,
  indexAt,
  isNumber,
  Problem,
  queried,
  readPoints,
  told,
  undoCorrection,
  updatePoint,
  type Correction,
  type Json,
  type Point,
  type Stream,
  type StreamPath,
} from "../api";
import { isObject } from "../lib/schema";
import { timeText } from "../lib/time";
import { Fault, Loading } from "../ui/basics";
import { useAction, useLoad } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { notify } from "../ui/notices";
import { EditPoint } from "./EditPoint";
import { valueText } from "./kinds";
import type { Span } from "./range";

const PAGE = 50;
const SORTED_MAX = 5000;
const COLUMNS_MAX = 8;
/** A longer value, as JSON, is not edited in a page. */
const EDITED_MAX = 200_000;
/** So much of a long value is shown before it is opened. */
const BEGINNING = 120;
/** The first page, newest values first. */
const FIRST = "0 true";

/** A datapoint, and its index in the stream; -1: it is not one of the stream. */
interface Row {
  readonly i: number;
  readonly point: Point;
}

const rowsOf = (points: readonly Point[], first: number): Row[] =>
  points.map((point, k) => ({ i: first < 0 ? -1 : first + k, point }));

type Order = { readonly by: "time" | number; readonly down: boolean };

/**
 * The values in a table, a page at a time; sorted by time, or, if they are not too many, by any column. With `stream`, as
 * the values are its own, they can be corrected.
 */
export default function Table({
  path,
  transform,
  span,
  revision,
  label,
  stream,
  onCorrected,
}: {
  path: StreamPath;
  transform: string;
  span: Span;
  revision: number;
  label: string;
  stream?: Stream;
  onCorrected?: (span: Span) => void;
}) {
  const [page, setPage] = useState(0);
  const [order, setOrder] = useState<Order>({ by: "time", down: true });
  const whole = useRef(false);
  const found = useLoad(
    async (signal) => {
      const { t1, t2 } = queried(span);
      const [i1, i2] = await Promise.all([indexAt(path, t1, signal), indexAt(path, t2, signal)]);
      const n = i2 - i1;
      if (n <= 0) return { n: 0, rows: [], whole: true };
      if (transform) {
        const points = await readPoints(path, { t1, t2, limit: 2 * SORTED_MAX, transform }, signal);
        return { n: points.length, rows: rowsOf(points, -1), whole: true };
      }
      if (n <= SORTED_MAX) {
        const points = await readPoints(path, { i1, i2 }, signal);
        return { n: points.length, rows: rowsOf(points, i1), whole: true };
      }
      const from = order.down ? Math.max(i1, i2 - (page + 1) * PAGE) : i1 + page * PAGE;
      const to = order.down ? i2 - page * PAGE : Math.min(i2, from + PAGE);
      const rows = rowsOf(to > from ? await readPoints(path, { i1: from, i2: to }, signal) : [], from);
      return { n, rows: order.down ? rows.reverse() : rows, whole: false };
    },
    // Where all are there, turning pages and sorting needs no server.
    [path, transform, span, whole.current ? FIRST : `${page} ${order.down}`],
  );
  useEffect(() => {
    if (revision) found.reload();
  }, [revision]);
  const [edited, setEdited] = useState<Row | null>(null);
  const region = useRef<HTMLDivElement>(null);
  /** Tell what was done, with the way back. */
  const corrected = (done: Correction, text: string): void => {
    const { id = 0, t1 = 0, t2 = 0 } = done;
    onCorrected?.({ t1, t2 });
    notify(text, () => {
      undoCorrection(path, id).then(
        () => {
          onCorrected?.({ t1, t2 });
          notify("Undone.");
        },
        (error: unknown) => notify(`It was not undone: ${told(error)}`),
      );
    });
  };
  const deletion = useAction(async ({ i, point }: Row) => {
    corrected(await meant(deletePoint(path, i, point), found.reload), `Deleted: ${valueText(point.d, 40)}, ${timeText(point.t)}.`);
    region.current?.focus({ preventScroll: true });
  });
  const faults = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (deletion.error !== undefined) faults.current?.scrollIntoView({ block: "center" });
  }, [deletion.error]);
  // What is there stays there until more has been read, so that nobody loses the place in it while values come.
  const last = useRef<{ readonly of: string; readonly data: typeof found.data } | undefined>(undefined);
  const of = `${path.join("/")} ${transform}`;
  if (found.data) last.current = { of, data: found.data };
  const data = last.current?.of === of ? last.current.data : undefined;
  if (data) whole.current = data.whole;
  const pages = Math.max(1, Math.ceil((data?.n ?? 0) / PAGE));
  useEffect(() => {
    // The last page may have gone, with the only value on it.
    if (data && page >= pages) setPage(pages - 1);
  }, [data, page, pages]);
  if (!data)
    return (
      <>
        <Fault error={found.error} retry={found.reload} />
        {found.loading && <Loading what="Reading" />}
      </>
    );
  const columns = columnsOf(data.rows);
  const sortable = data.whole;
  const sorted = sortable ? sort(data.rows, columns, order) : data.rows;
  const shown = sortable ? sorted.slice(page * PAGE, (page + 1) * PAGE) : sorted;
  const senders = shown.some(({ point }) => point.o !== undefined);
  const heading = (by: "time" | number, text: string) => (
    <th scope="col" class={by !== "time" && isNumeric(shown, columns[by]) ? "number" : undefined} aria-sort={order.by === by ? (order.down ? "descending" : "ascending") : "none"} key={text}>
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
      <div ref={faults}>
        <Fault error={deletion.error} />
      </div>
      {edited && stream && (
        <EditPoint
          point={edited.point}
          stream={stream}
          label={label}
          onClose={() => setEdited(null)}
          onSave={async (d, why) => {
            const done = await meant(updatePoint(path, edited.i, edited.point, d, why), found.reload);
            setEdited(null);
            corrected(done, `Changed to ${valueText(d, 40)}, ${timeText(edited.point.t)}.`);
          }}
        />
      )}
      {data.n === 0 ? (
        <p class="muted">There is nothing from this time.</p>
      ) : (
        <>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
          <div class="scroll" role="region" tabIndex={0} ref={region} aria-label={`Table of ${label}`}>
            <table class="values">
              <caption class="sr">Values of {label}</caption>
              <thead>
                <tr>
                  {heading("time", "Time")}
                  {columns.length ? columns.map((name, i) => heading(i, name)) : heading(0, "Value")}
                  {senders && <th scope="col">Written by</th>}
                  {stream && (
                    <th scope="col" class="row-actions">
                      <span class="sr">Correct</span>
                    </th>
                  )}
                </tr>
              </thead>
              <tbody>
                {shown.map(({ i, point }, k) => (
                  <tr key={i < 0 ? `row ${k}` : i}>
                    <th scope="row">
                      <time dateTime={new Date(point.t * 1000).toISOString()}>{timeText(point.t)}</time>
                    </th>
                    {columns.length ? (
                      columns.map((name) => <Cell key={name} value={partOf(point.d, name)} />)
                    ) : (
                      <Cell value={point.d} />
                    )}
                    {senders && <td>{point.o ?? ""}</td>}
                    {stream && (
                      <td class="row-actions">
                        <span>
                          <button
                            type="button"
                            class="plain"
                            title="Edit"
                            aria-label={`Edit ${nameOf(point)}`}
                            disabled={deletion.busy}
                            onClick={() => {
                              if (JSON.stringify(point.d).length <= EDITED_MAX) setEdited({ i, point });
                              else notify("This value is too long to be edited here.");
                            }}
                          >
                            <Icon name="edit" />
                          </button>
                          <button
                            type="button"
                            class="plain"
                            title="Delete"
                            aria-label={`Delete ${nameOf(point)}`}
                            disabled={deletion.busy}
                            onClick={() => void deletion.run({ i, point })}
                          >
                            <Icon name="trash" />
                          </button>
                        </span>
                      </td>
                    )}
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

/** What a screen reader calls a row. */
const nameOf = ({ t, d }: Point): string => `${valueText(d, 40)}, ${timeText(t)}`;

/** The outcome of a correction; if another datapoint stands in that place by now, tell that, and `reread`. */
async function meant(correction: Promise<Correction>, reread: () => void): Promise<Correction> {
  try {
    return await correction;
  } catch (error) {
    if (!(error instanceof Problem && (error.status === 409 || error.kind === "invalid_range"))) throw error;
    reread();
    throw new Problem(
      "Nothing was changed: somebody has corrected this value since, or others have come before it. The table shows now what is there.",
      error.status,
    );
  }
}

function Cell({ value }: { value: Json | undefined }) {
  const [open, setOpen] = useState(false);
  const text = valueText(value, BEGINNING + 1);
  if (isNumber(value)) return <td class="number">{text}</td>;
  if (text.length <= BEGINNING) return <td>{text}</td>;
  return (
    <td>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{open ? <span class="muted">Less</span> : `${text.slice(0, BEGINNING)}…`}</summary>
        {open && <span class="long-text">{valueText(value, EDITED_MAX)}</span>}
      </details>
    </td>
  );
}

/** A column of numbers, whose heading stands over them, at the right. */
const isNumeric = (rows: readonly Row[], name: string | undefined): boolean => {
  const value = rows[0] && (name === undefined ? rows[0].point.d : partOf(rows[0].point.d, name));
  return isNumber(value);
};

const partOf = (value: Json, name: string): Json | undefined => (isObject(value) ? value[name] : undefined);

/** The fields of objects, if all are objects with few fields; else none. */
function columnsOf(rows: readonly Row[]): string[] {
  const names = new Set<string>();
  for (const { point } of rows.slice(0, 500)) {
    if (!isObject(point.d)) return [];
    for (const name of Object.keys(point.d)) names.add(name);
  }
  return names.size <= COLUMNS_MAX ? [...names] : [];
}

function sort(rows: readonly Row[], columns: readonly string[], order: Order): Row[] {
  const { by } = order;
  const key = ({ point }: Row): Json | undefined => (by === "time" ? point.t : columns.length ? partOf(point.d, columns[by] ?? "") : point.d);
  const sorted = [...rows].sort((a, b) => compare(key(a), key(b)));
  return order.down ? sorted.reverse() : sorted;
}

function compare(a: Json | undefined, b: Json | undefined): number {
  if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0;
  return valueText(a).localeCompare(valueText(b), "en", { numeric: true });
}
