/** A question about several streams: as the API takes it, and as one would write it in Python or with curl. */
import type { DatasetQuery, Json, MergeQuery, Point } from "../api";
import { isObject } from "./schema";

/** A stream of a merge. */
export interface Part {
  /** Path of the stream. */
  readonly stream: string;
  readonly transform: string;
}

export interface Column extends Part {
  readonly name: string;
  readonly interpolator: string;
  /** Whether there are rows without a value here. */
  readonly allownil: boolean;
  /** Streams that are merged with this one. */
  readonly more: readonly Part[];
}

export interface Analysis {
  readonly kind: "dataset" | "merge";
  /** Of a dataset: the stream of which each value makes a row; empty: there is a row each `dt` seconds. */
  readonly x: string;
  readonly xTransform: string;
  readonly dt: number;
  /** Seconds up to now; 0: all; -1: from `t1` to `t2`; -2: from the value number `i1` up to number `i2`. */
  readonly last: number;
  readonly t1: number;
  readonly t2: number;
  readonly i1: number;
  readonly i2: number;
  /** At most so many, of each stream of a merge or of the rows' stream; 0: all. */
  readonly limit: number;
  readonly post: string;
  readonly columns: readonly Column[];
}

export const EMPTY_COLUMN: Column = { stream: "", name: "", interpolator: "closest", transform: "", allownil: false, more: [] };

export const EMPTY: Analysis = {
  kind: "dataset",
  x: "",
  xTransform: "",
  dt: 3600,
  last: 7 * 86_400,
  t1: 0,
  t2: 0,
  i1: -100,
  i2: 0,
  limit: 0,
  post: "",
  columns: [EMPTY_COLUMN],
};

export const BY_INDEX = -2;
export const ROWS_MAX = 20_000;
export const COLUMNS_MAX = 10;

/** What an address says: it may be of another version, or made by anybody. */
export function readAnalysis(text: string | null): Analysis {
  let found: unknown;
  try {
    found = JSON.parse(text ?? "null");
  } catch {
    return EMPTY;
  }
  const { kind, columns, ...rest } = alike(found, EMPTY as unknown as { [key: string]: Json });
  const listed = (isObject(found as Json) ? (found as { columns?: unknown }).columns : undefined) ?? columns;
  const read = (Array.isArray(listed) ? (listed as readonly unknown[]) : []).slice(0, COLUMNS_MAX).map((one) => {
    const column = alike(one, EMPTY_COLUMN as unknown as { [key: string]: Json });
    const more = isObject(one as Json) ? (one as { more?: unknown }).more : [];
    const parts = Array.isArray(more) ? more.slice(0, COLUMNS_MAX - 1).map((part) => alike(part, { stream: "", transform: "" })) : [];
    return { ...column, more: parts } as unknown as Column;
  });
  return { ...rest, kind: kind === "merge" ? "merge" : "dataset", columns: read.length ? read : EMPTY.columns } as unknown as Analysis;
}

/** The fields of `wanted`, as `found` has them if they are of the same type there. */
function alike(found: unknown, wanted: { readonly [key: string]: Json }): { [key: string]: Json } {
  const given = isObject(found as Json) ? (found as { readonly [key: string]: Json }) : {};
  return Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, typeof given[key] === typeof value ? (given[key] as Json) : value]));
}

/** The streams that it names. */
const pathsIn = (a: Analysis): string[] => [
  ...(a.kind === "dataset" && a.x ? [a.x] : []),
  ...used(a).flatMap((column) => [column.stream, ...partsOf(a, column).slice(1).map(({ stream }) => stream)]),
];

const isPath = (text: string): boolean => /^[^/\s]+\/[^/\s]+\/[^/\s]+(\/downlink)?$/.test(text);

/** What is missing, in words; null if it can be asked. */
export function analysisFault(a: Analysis, now: number): string | null {
  if (!a.columns.some((column) => column.stream)) return "Choose at least one stream.";
  const wrong = pathsIn(a).find((path) => !isPath(path));
  if (wrong !== undefined) return `“${wrong}” is no path of a stream, which is user/device/stream.`;
  if (a.last === -1 && !(a.t2 > a.t1)) return "The end of the time has to be after its beginning.";
  if (a.kind === "merge" || a.x) return null;
  if (!(a.dt >= 0.001)) return "Say how far the rows are apart: at least a thousandth of a second.";
  const { t1, t2 } = timesOf(a, now);
  if (t1 === undefined) return "Rows at equal distances need a beginning: choose another time than “all” or “by number”.";
  const rows = ((t2 ?? now) - t1) / a.dt;
  if (rows > ROWS_MAX) return `That would be ${Math.round(rows).toLocaleString("en")} rows; at most ${ROWS_MAX.toLocaleString("en")} are shown. Choose a shorter time, or rows that are further apart.`;
  return null;
}

/** From when to when; undefined: there is no bound. */
export function timesOf(a: Analysis, now: number): { t1: number | undefined; t2: number | undefined } {
  if (a.last === 0 || a.last === BY_INDEX) return { t1: undefined, t2: undefined };
  if (a.last < 0) return { t1: a.t1, t2: a.t2 };
  return { t1: Math.round(now - a.last), t2: Math.round(now) };
}

/** Which part of the streams, or of the stream of the rows. */
function boundsOf(a: Analysis, now: number): { t1?: number; t2?: number; i1?: number; i2?: number; limit?: number } {
  if (a.last === BY_INDEX) return a.i2 ? { i1: a.i1, i2: a.i2 } : { i1: a.i1 };
  const { t1, t2 } = timesOf(a, now);
  const limit = a.limit > 0 && (a.kind === "merge" || a.x) ? { limit: a.limit } : {};
  if (t1 !== undefined) return { t1, ...(t2 === undefined ? {} : { t2 }), ...limit };
  return a.limit > 0 ? limit : { i1: 0 };
}

const used = (a: Analysis): readonly Column[] => a.columns.filter((column) => column.stream);

/** What is merged in a column; one: it is no merge. */
const partsOf = (a: Analysis, column: Column): readonly Part[] => [column, ...(a.kind === "dataset" ? column.more.filter(({ stream }) => stream) : [])];

/** Names of columns: those given, else that of the stream; none twice. */
export function namesOf(a: Analysis): string[] {
  const taken = new Set(["x"]);
  return used(a).map(({ name, stream }) => {
    const wanted = name.trim() || (stream.split("/").at(-1) ?? "y");
    let found = wanted;
    for (let i = 2; taken.has(found); i++) found = `${wanted}${i}`;
    taken.add(found);
    return found;
  });
}

const without = <T extends object>(fields: T): Partial<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== "" && value !== undefined && value !== false)) as Partial<T>;

export function toDataset(a: Analysis, now: number): DatasetQuery {
  const names = namesOf(a);
  const columns = Object.fromEntries(
    used(a).map((column, i) => {
      const { stream, transform, interpolator, allownil } = column;
      const parts = partsOf(a, column);
      const of = parts.length > 1 ? { merge: parts.map((part) => without({ stream: part.stream, transform: part.transform })) } : { stream, transform };
      return [names[i] ?? "", without({ ...of, interpolator, allownil })];
    }),
  );
  const rows = a.x ? { stream: a.x, transform: a.xTransform } : { dt: a.dt };
  return { ...without({ ...rows, ...boundsOf(a, now), posttransform: a.post }), dataset: columns };
}

export function toMerge(a: Analysis, now: number): MergeQuery {
  const bounds = boundsOf(a, now);
  return used(a).map(({ stream, transform }) => without({ stream, transform, ...bounds }));
}

// ---- the same, elsewhere

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export function toCurl(a: Analysis, now: number, url: string, user: string): string {
  const body = a.kind === "merge" ? toMerge(a, now) : toDataset(a, now);
  return `curl -u ${quoted(`${user}:PASSWORD`)} ${quoted(`${url}/api/v1/query/${a.kind}`)} \\\n  -d ${quoted(JSON.stringify(body))}`;
}

export function toPython(a: Analysis, now: number, url: string, user: string): string {
  const text = JSON.stringify;
  const call = (args: readonly (string | null)[]): string => args.filter((arg) => arg !== null).join(", ");
  const named = (name: string, value: string | number | undefined): string | null =>
    value === undefined || value === "" ? null : `${name}=${typeof value === "string" ? text(value) : value}`;
  const bounds = Object.entries(boundsOf(a, now)).map(([name, value]) => named(name, value));
  const login = `db = ConnectorDB(${text(user)}, "PASSWORD", url=${text(url)})`;
  if (a.kind === "merge") {
    const parts = used(a).map(
      ({ stream, transform }) => `merge.add_stream(${call([text(stream), ...bounds, named("transform", transform)])})`,
    );
    return `from connectordb import ConnectorDB
from connectordb.query import Merge

${login}

merge = Merge(db)
${parts.join("\n")}
for point in merge.run():
    print(point["t"], point["d"])`;
  }
  const names = namesOf(a);
  const rows = a.x ? [named("x", a.x), named("transform", a.xTransform)] : [named("dt", a.dt)];
  const lines = used(a).flatMap((column, i) => {
    const { stream, transform, interpolator, allownil } = column;
    const parts = partsOf(a, column);
    const merge = `merge${i + 1}`;
    const last = [named("colname", names[i]), allownil ? "allow_null=True" : null];
    if (parts.length === 1) return [`dataset.add_stream(${call([text(stream), text(interpolator), named("transform", transform), ...last])})`];
    return [
      `${merge} = Merge(db)`,
      ...parts.map((part) => `${merge}.add_stream(${call([text(part.stream), named("transform", part.transform)])})`),
      `dataset.add_stream(${call([merge, text(interpolator), ...last])})`,
    ];
  });
  const merges = lines.some((line) => line.endsWith(" = Merge(db)"));
  return `from connectordb import ConnectorDB
from connectordb.query import Dataset${merges ? ", Merge" : ""}

${login}

dataset = Dataset(${call(["db", ...rows, ...bounds, named("posttransform", a.post)])})
${lines.join("\n")}
for row in dataset.run():
    print(row["t"], row["d"])`;
}

// ---- the result

/** The rows that have a number in both columns. */
export function pairsOf(rows: readonly Point[], [a, b]: readonly [string, string]) {
  const out: { t: number; x: number; y: number }[] = [];
  for (const { t, d } of rows) {
    if (!isObject(d)) continue;
    const [x, y] = [d[a], d[b]];
    if (typeof x === "number" && typeof y === "number") out.push({ t, x, y });
  }
  return out;
}

/** The rows as CSV (RFC 4180), a column for each name if they are objects; written as the server writes it. */
export function toCsv(rows: readonly Point[]): string {
  const objects = rows.length > 0 && rows.every(({ d }) => isObject(d));
  const names = objects ? [...new Set(rows.flatMap(({ d }) => (isObject(d) ? Object.keys(d) : [])))] : ["d"];
  const lines = [["t", ...names].map(cellOf), ...rows.map(({ t, d }) => [String(t), ...(objects && isObject(d) ? names.map((name) => cellOf(d[name] ?? null)) : [cellOf(d)])])];
  return lines.map((cells) => cells.join(",") + "\r\n").join("");
}

/** A string stands as it is, unless it would be read as something else, or as a formula; all else is JSON. */
function cellOf(value: Json): string {
  if (value === null) return "";
  const plain = typeof value === "string" && value.trim() === value && !/^([=+\-@"[{\d]|(true|false|null|nan|[+-]?inf(inity)?)$|$)/i.test(value);
  const text = plain ? value : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
