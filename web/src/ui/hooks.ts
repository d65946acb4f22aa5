import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";

import { Problem } from "../api";
import { whenBack } from "../lib/reach";
import { checkSession } from "../lib/session";

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  readonly reload: () => void;
  /** Take `data` for what there is, which is newer than what is being loaded. */
  readonly set: (data: T) => void;
}

/** What has taken so long is loaded anew by itself only after so many times as long. */
export const REST = 3;

/**
 * Load with `load` whenever one of `inputs` changes; what was begun before is given up. When `revision` changes, load
 * anew, but after what is under way, and not so often that the server does little else.
 */
export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
  revision: unknown = null,
): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; loading: boolean }>({ loading: true });
  const [round, setRound] = useState(0);
  const key = JSON.stringify(inputs);
  const last = useRef(key);
  const loaded = useRef({ revision, begun: 0, ended: 0 });
  const running = useRef<AbortController | null>(null);
  useEffect(() => {
    loaded.current = { revision, begun: performance.now(), ended: 0 };
    const controller = new AbortController();
    running.current = controller;
    const fresh = last.current !== key;
    last.current = key;
    setState((was) => (fresh || was.data === undefined ? { loading: true } : { data: was.data, loading: true }));
    load(controller.signal).then(
      (data) => {
        if (controller.signal.aborted) return;
        loaded.current.ended = performance.now();
        setState({ data, loading: false });
      },
      (error: unknown) => {
        if (controller.signal.aborted) return;
        loaded.current.ended = performance.now();
        setState((was) => ({ ...was, error, loading: false }));
        if (error instanceof Problem && [403, 404].includes(error.status)) void checkSession().catch(() => undefined);
      },
    );
    return () => controller.abort();
    // `load` is a new function each time; what it depends on are the inputs.
  }, [key, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  useEffect(() => {
    const { revision: known, begun, ended } = loaded.current;
    if (state.loading || known === revision) return undefined;
    const timer = setTimeout(reload, Math.max(0, ended + REST * (ended - begun) - performance.now()));
    return () => clearTimeout(timer);
  }, [revision, state.loading]);
  useEffect(() => (state.error instanceof Problem && state.error.offline ? whenBack(reload) : undefined), [state.error]);
  const set = useCallback((data: T) => {
    running.current?.abort();
    setState({ data, loading: false });
  }, []);
  return { data: state.data, error: state.error, loading: state.loading, reload, set };
}

export interface Action<A extends readonly unknown[]> {
  readonly busy: boolean;
  readonly error: unknown;
  readonly run: (...args: A) => Promise<boolean>;
  readonly clear: () => void;
}

/** Something that a person starts, once at a time; tells whether it is under way, and what went wrong. */
export function useAction<A extends readonly unknown[]>(work: (...args: A) => Promise<void>): Action<A> {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const running = useRef(false);
  const latest = useRef(work);
  latest.current = work;
  const run = useCallback(async (...args: A): Promise<boolean> => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setError(undefined);
    try {
      await latest.current(...args);
      return true;
    } catch (e) {
      setError(e);
      if (e instanceof Problem && [403, 404].includes(e.status)) void checkSession().catch(() => undefined);
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  }, []);
  return { busy, error, run, clear: useCallback(() => setError(undefined), []) };
}

let numbers = 0;
/** An id for an element that others refer to. */
export function useId(prefix = "f"): string {
  const id = useRef("");
  if (!id.current) id.current = `${prefix}${++numbers}`;
  return id.current;
}

/** The time, anew every `everyMs`. */
export function useNow(everyMs: number): number {
  const [t, setT] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setT(Date.now() / 1000), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return t;
}

/** Of a group of buttons that is wider than the screen: the one that is pressed is in view, when it changes. */
export function usePressedShown(pressed: string): RefObject<HTMLDivElement | null> {
  const group = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const chosen = group.current?.querySelector("[aria-pressed='true']")?.getBoundingClientRect();
    const frame = group.current?.getBoundingClientRect();
    if (group.current && chosen && frame) group.current.scrollLeft += chosen.left + chosen.width / 2 - frame.left - frame.width / 2;
  }, [pressed]);
  return group;
}
