/** Counting values of a stream, which may be long: the server counts, one part of it after the other. */
import { useRef, useState } from "preact/hooks";

import { indexAt, Problem, queried, readPoints, type StreamPath } from "../api";
import { useLoad } from "../ui/hooks";
import type { Span } from "./range";

export type Counts = Readonly<Record<string, number>>;

/** What is known when `done` of `n` values have been counted. */
export interface Counted<T> {
  readonly done: number;
  readonly n: number;
  readonly value: T;
}

/** So many values are counted in one request: some tenths of a second for the server. */
export const PART = 4_000_000;

export const piped = (...scripts: readonly string[]): string => scripts.filter(Boolean).join(" | ");

/** Count by `script`, which gives one object with numbers for each part. Calls `show` with what is counted so far. */
export async function count(
  path: StreamPath,
  transform: string,
  span: Span,
  script: string,
  show: (soFar: Counted<Counts>) => void,
  signal: AbortSignal,
): Promise<Counted<Counts>> {
  const { t1, t2 } = queried(span);
  // A transform has to see all of its input, from the beginning.
  if (transform) {
    const [found] = await counted(path, { t1, t2, transform: piped(transform, script) }, signal);
    const value = (found?.d ?? {}) as Counts;
    const n = Object.values(value).reduce((sum, k) => sum + k, 0);
    return { done: n, n, value };
  }
  const [i1, i2] = await Promise.all([indexAt(path, t1, signal), indexAt(path, t2, signal)]);
  const sums = new Map<string, number>();
  let last: Counted<Counts> = { done: 0, n: i2 - i1, value: {} };
  for (let to = i2; to > i1 && !signal.aborted; to -= PART) {
    const from = Math.max(i1, to - PART);
    const [found] = await counted(path, { i1: from, i2: to, transform: script }, signal);
    for (const [key, n] of Object.entries((found?.d ?? {}) as Counts)) sums.set(key, (sums.get(key) ?? 0) + n);
    last = { done: i2 - from, n: i2 - i1, value: Object.fromEntries(sums) };
    show(last);
  }
  return last;
}

async function counted(path: StreamPath, range: Parameters<typeof readPoints>[1], signal: AbortSignal) {
  try {
    return await readPoints(path, range, signal);
  } catch (error) {
    if (error instanceof Problem && error.message.includes("script_keys_max"))
      throw new Problem("There are too many different values to count each of them. Choose a shorter time, or the histogram.", error.status);
    throw error;
  }
}

export interface Counting<T> {
  readonly shown: Counted<T> | undefined;
  /** Something has been written since: of very many values that is not counted by itself. */
  readonly behind: boolean;
  readonly loading: boolean;
  readonly error: unknown;
  readonly again: () => void;
}

/** Count with `work` whenever one of `inputs` changes; and when `revision` does, if it is no long work. */
export function useCounting<T>(
  work: (show: (soFar: Counted<T>) => void, signal: AbortSignal) => Promise<Counted<T>>,
  inputs: readonly unknown[],
  revision: number,
): Counting<T> {
  const key = JSON.stringify(inputs);
  const [soFar, setSoFar] = useState<{ readonly key: string; readonly counted: Counted<T> }>();
  const shown = soFar?.key === key ? soFar.counted : undefined;
  const held = useRef(revision);
  if (shown === undefined || shown.n <= PART) held.current = revision;
  const found = useLoad(
    async (signal) => {
      const show = (counted: Counted<T>): void => {
        if (!signal.aborted) setSoFar({ key, counted });
      };
      show(await work(show, signal));
    },
    inputs,
    held.current,
  );
  const again = (): void => {
    held.current = revision;
    found.reload();
  };
  return { shown, behind: held.current !== revision, loading: found.loading, error: found.error, again };
}
