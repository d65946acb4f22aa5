/** Bringing values into a stream: comparing them with what is there, and sending them in parts. */
import { createStream, indexAt, insertPoints, Problem, queried, readPoints, type Json, type Point, type StreamPath } from "../api";
import { keyOf } from "./outbox";
import { isObject } from "./schema";
import { schemaFor, type Verdict } from "./upload";

const PART = 5000;

/** What a part of the work that is done is told to, from 0 to 1. */
type Progress = (part: number) => void;

/** What would happen. */
export interface Tried {
  /** Those that would be added, in order of time. */
  readonly fresh: readonly Verdict[];
  readonly there: number;
  readonly late: number;
}

/** What has happened. */
export interface Sent {
  readonly stored: number;
  /** How many were there already. */
  readonly there: number;
  readonly refused: readonly { readonly line: number; readonly why: string }[];
}

/** Which of the values are not in the stream yet. */
export async function compare(path: StreamPath, exists: boolean, values: readonly Verdict[], tell: Progress): Promise<Tried> {
  const inOrder = [...values].sort((a, b) => a.t - b.t);
  if (!exists) return { fresh: inOrder, there: 0, late: 0 };
  const newest = (await readPoints(path, { i1: -1 }))[0]?.t ?? -Infinity;
  const fresh: Verdict[] = [];
  const parts = partsOf(inOrder);
  for (const [i, part] of parts.entries()) {
    tell(i / parts.length);
    const { t1, t2 } = queried({ t1: part[0]?.t ?? 0, t2: part.at(-1)?.t ?? 0 });
    const i1 = await indexAt(path, t1);
    const i2 = await indexAt(path, t2);
    fresh.push(...missing(part, i2 > i1 ? await readPoints(path, { i1, i2 }) : []));
  }
  tell(1);
  return { fresh, there: values.length - fresh.length, late: fresh.filter(({ t }) => t < newest).length };
}

/** Make a stream for the values. Returns whether there was none. */
export async function create(path: StreamPath, values: readonly Verdict[]): Promise<boolean> {
  try {
    await createStream(path, { schema: JSON.stringify(schemaFor(values.map(({ d }) => d))) });
  } catch (error) {
    if (error instanceof Problem && error.kind === "already_exists") return false;
    throw error;
  }
  return true;
}

/** The server leaves out what is there already, so all of it can be sent again after any interruption. */
export async function sendAll(path: StreamPath, inOrder: readonly Verdict[], tell: Progress): Promise<Sent> {
  const key = await keyOf(path);
  let [stored, there] = [0, 0];
  const refused: { line: number; why: string }[] = [];
  const parts = partsOf(inOrder);
  for (const [i, part] of parts.entries()) {
    tell(i / parts.length);
    const points = part.map(({ t, d }) => ({ t, d }));
    const report = await insertPoints(path, points, { duplicates: "skip" }, key);
    stored += report.stored;
    there += report.skipped ?? 0;
    for (const { position, msg } of report.refused ?? []) refused.push({ line: part[position]?.line ?? 0, why: msg });
  }
  tell(1);
  return { stored, there, refused };
}

/** In parts, each of which has all of the values of its times: equal ones in one request are all stored. */
export function partsOf<T extends { readonly t: number }>(inOrder: readonly T[], size = PART): T[][] {
  const parts: T[][] = [];
  let part: T[] = [];
  for (const value of inOrder) {
    if (part.length >= size && part.at(-1)?.t !== value.t) {
      parts.push(part);
      part = [];
    }
    part.push(value);
  }
  return part.length ? [...parts, part] : parts;
}

/** Those of `points` that are not among `there`, as the server sees it. */
export function missing<T extends Point>(points: readonly T[], there: readonly Point[]): T[] {
  const known = new Set(there.map(textOf));
  return points.filter((point) => !known.has(textOf(point)));
}

const textOf = ({ t, d }: Point): string => `${t} ${JSON.stringify(sorted(d))}`;

function sorted(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name] ?? null)]));
}
