import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { Problem } from "../api";
import { checkSession } from "../lib/session";

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  readonly reload: () => void;
  readonly set: (data: T) => void;
}

/** Load with `load` whenever one of `inputs` changes; what was begun before is given up. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, inputs: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; loading: boolean }>({ loading: true });
  const [round, setRound] = useState(0);
  const key = JSON.stringify(inputs);
  const last = useRef(key);
  useEffect(() => {
    const controller = new AbortController();
    const fresh = last.current !== key;
    last.current = key;
    setState((was) => (fresh || was.data === undefined ? { loading: true } : { data: was.data, loading: true }));
    load(controller.signal).then(
      (data) => {
        if (!controller.signal.aborted) setState({ data, loading: false });
      },
      (error: unknown) => {
        if (controller.signal.aborted) return;
        setState((was) => ({ ...was, error, loading: false }));
        if (error instanceof Problem && [403, 404].includes(error.status)) void checkSession().catch(() => undefined);
      },
    );
    return () => controller.abort();
    // `load` is a new function each time; what it depends on are the inputs.
  }, [key, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  const set = useCallback((data: T) => setState({ data, loading: false }), []);
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
