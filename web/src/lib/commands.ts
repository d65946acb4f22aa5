/** What becomes of a command to a device, asked for as long as somebody looks. */
import { Problem, type Downlink } from "../api";

export const STATE_WORDS: Readonly<Record<Downlink["state"], string>> = {
  queued: "waits for the device",
  delivered: "the device has it",
  acknowledged: "done",
  refused: "the device refused it",
  expired: "too late: the device did not take it in time",
  superseded: "replaced by a later one",
};

/** How long a command may wait, in seconds; empty: as long as the server says. */
export const LIFETIMES: readonly (readonly [string, string])[] = [
  ["", "as long as usual"],
  ["60", "for 1 minute"],
  ["3600", "for 1 hour"],
  ["86400", "for 1 day"],
];

export const isFinal = ({ state }: Downlink): boolean => state !== "queued" && state !== "delivered";

const OFTEN = 60;
const SELDOM_S = 10;
const LONG_S = 50;
const PAUSE_MS = 3000;
const LONGEST_PAUSE_MS = 60_000;

/**
 * Tell each state that `first` comes to, until it is final or `signal` ends it. A wait ends only with what is final, and
 * that the device has it is to be seen before that: so it is asked each second, for the first minute. Nothing is asked
 * while the page is hidden.
 */
export async function watchDownlink(
  first: Downlink,
  read: (wait: number, signal: AbortSignal) => Promise<Downlink>,
  tell: (downlink: Downlink) => void,
  signal: AbortSignal,
): Promise<void> {
  let known = first;
  let [asked, failed] = [0, 0];
  while (!isFinal(known)) {
    if (document.visibilityState === "hidden") {
      await event(document, "visibilitychange", signal);
      asked = 0;
    }
    if (signal.aborted) return;
    if (document.visibilityState === "hidden") continue;
    const asking = new AbortController();
    const end = (): void => {
      if (signal.aborted || document.visibilityState === "hidden") asking.abort();
    };
    document.addEventListener("visibilitychange", end);
    signal.addEventListener("abort", end);
    try {
      known = await read(known.state === "delivered" ? LONG_S : asked++ < OFTEN ? 1 : SELDOM_S, asking.signal);
      failed = 0;
      tell(known);
    } catch (error) {
      if (asking.signal.aborted) continue;
      // It has been forgotten, or may not be seen any more.
      if (error instanceof Problem && !error.offline && error.status !== 429) return;
      await pause(Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** failed++), signal);
    } finally {
      document.removeEventListener("visibilitychange", end);
      signal.removeEventListener("abort", end);
    }
  }
}

const event = (target: EventTarget, name: string, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      target.removeEventListener(name, end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    target.addEventListener(name, end);
    signal.addEventListener("abort", end);
  });

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
