/** Which times are in view. In the address it is `range=1d` (up to now, and following it) or `t1` and `t2`. */
import { DAY, HOUR } from "../lib/time";

export interface Span {
  readonly t1: number;
  readonly t2: number;
}

export const RANGES: readonly (readonly [key: string, text: string, seconds: number])[] = [
  ["1h", "Hour", HOUR],
  ["1d", "Day", DAY],
  ["7d", "Week", 7 * DAY],
  ["30d", "Month", 30 * DAY],
  ["365d", "Year", 365 * DAY],
];

const SHORTEST_S = 1e-3;
const LATEST_S = 253_402_300_799;

/** `span` with all of it within times that there can be. */
export function held({ t1, t2 }: Span): Span {
  const length = Math.min(Math.max(t2 - t1, SHORTEST_S), LATEST_S);
  const start = Math.min(Math.max(0, t1), LATEST_S - length);
  return { t1: start, t2: start + length };
}

/** Closer by `factor` (below 1) or further away, around the time `at`. */
export function zoomed({ t1, t2 }: Span, factor: number, at = (t1 + t2) / 2): Span {
  return held({ t1: at - (at - t1) * factor, t2: at + (t2 - at) * factor });
}

/** Moved by a part of its length. */
export function moved({ t1, t2 }: Span, part: number): Span {
  const by = (t2 - t1) * part;
  return held({ t1: t1 + by, t2: t2 + by });
}

/** With some room at both sides. */
export function roomy({ t1, t2 }: Span): Span {
  const room = Math.max((t2 - t1) * 0.02, 1);
  return held({ t1: t1 - room, t2: t2 + room });
}
