/** A question about several streams: as the API takes it, and as one would write it in Python or with curl. */
import type { DatasetQuery, MergeQuery } from "../api";

export interface Column {
  /** Path of the stream. */
  readonly stream: string;
  readonly name: string;
  readonly interpolator: string;
  readonly transform: string;
}

export interface Analysis {
  readonly kind: "dataset" | "merge";
  /** Of a dataset: the stream of which each value makes a row; empty: there is a row each `dt` seconds. */
  readonly x: string;
  readonly xTransform: string;
  readonly dt: number;
  /** Seconds up to now; 0: all; -1: from `t1` to `t2`. */
  readonly last: number;
  readonly t1: number;
  readonly t2: number;
  readonly post: string;
  readonly columns: readonly Column[];
}

export const EMPTY: Analysis = {
  kind: "dataset",
  x: "",
  xTransform: "",
  dt: 3600,
  last: 7 * 86_400,
  t1: 0,
  t2: 0,
  post: "",
  columns: [{ stream: "", name: "", interpolator: "closest", transform: "" }],
};

export const ROWS_MAX = 20_000;

/** What is missing, in words; null if it can be asked. */
export function analysisFault(a: Analysis, now: number): string | null {
  if (!a.columns.some((column) => column.stream)) return "Choose at least one stream.";
  if (a.last < 0 && !(a.t2 > a.t1)) return "The end of the time has to be after its beginning.";
  if (a.kind === "merge" || a.x) return null;
  if (!(a.dt >= 0.001)) return "Say how far the rows are apart: at least a thousandth of a second.";
  const { t1, t2 } = timesOf(a, now);
  if (t1 === undefined) return "Rows at equal distances need a beginning: choose another time than “all”.";
  const rows = ((t2 ?? now) - t1) / a.dt;
  if (rows > ROWS_MAX) return `That would be ${Math.round(rows).toLocaleString("en")} rows; at most ${ROWS_MAX.toLocaleString("en")} are shown. Choose a shorter time, or rows that are further apart.`;
  return null;
}

/** From when to when; undefined: there is no bound. */
export function timesOf(a: Analysis, now: number): { t1: number | undefined; t2: number | undefined } {
  if (a.last === 0) return { t1: undefined, t2: undefined };
  if (a.last < 0) return { t1: a.t1, t2: a.t2 };
  return { t1: Math.round(now - a.last), t2: Math.round(now) };
}

const used = (a: Analysis): readonly Column[] => a.columns.filter((column) => column.stream);

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
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== "" && value !== undefined)) as Partial<T>;

export function toDataset(a: Analysis, now: number): DatasetQuery {
  const times = timesOf(a, now);
  const names = namesOf(a);
  const columns = Object.fromEntries(
    used(a).map(({ stream, interpolator, transform }, i) => [names[i] ?? "", without({ stream, interpolator, transform })]),
  );
  const rows = a.x ? { stream: a.x, transform: a.xTransform } : { dt: a.dt };
  // An end without a beginning, or neither: all.
  const bounds = times.t1 === undefined ? (a.x ? { i1: 0 } : {}) : times;
  return { ...without({ ...rows, ...bounds, posttransform: a.post }), dataset: columns } as DatasetQuery;
}

export function toMerge(a: Analysis, now: number): MergeQuery {
  const times = timesOf(a, now);
  const bounds = times.t1 === undefined ? { i1: 0 } : times;
  return used(a).map(({ stream, transform }) => without({ stream, transform, ...bounds })) as unknown as MergeQuery;
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
  const { t1, t2 } = timesOf(a, now);
  const login = `db = ConnectorDB(${text(user)}, "PASSWORD", url=${text(url)})`;
  if (a.kind === "merge") {
    const parts = used(a).map(
      ({ stream, transform }) =>
        `merge.add_stream(${call([text(stream), named("t1", t1), named("t2", t2), t1 === undefined ? "i1=0" : null, named("transform", transform)])})`,
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
  const bounds = [named("t1", t1), named("t2", t2), a.x && t1 === undefined ? "i1=0" : null];
  const parts = used(a).map(
    ({ stream, interpolator, transform }, i) =>
      `dataset.add_stream(${call([text(stream), text(interpolator), named("transform", transform), named("colname", names[i])])})`,
  );
  return `from connectordb import ConnectorDB
from connectordb.query import Dataset

${login}

dataset = Dataset(${call(["db", ...rows, ...bounds, named("posttransform", a.post)])})
${parts.join("\n")}
for row in dataset.run():
    print(row["t"], row["d"])`;
}
