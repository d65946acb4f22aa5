/** Times as a person reads and writes them, in the person's time zone. */
import { computed } from "@preact/signals";

import { kept } from "./settings";

/** The time zone that was chosen; empty: that of the browser. */
export const chosenZone = kept("zone", "");
export const browserZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;
export const zone = computed(() => chosenZone.value || browserZone());
try {
  new Intl.DateTimeFormat("en", { timeZone: zone.value });
} catch {
  chosenZone.value = "";
}

export const MINUTE = 60;
export const HOUR = 3600;
export const DAY = 86_400;

export const now = (): number => Date.now() / 1000;

/** `2026-11-23 15:04:05`, with as many digits of the second as there are, in the person's zone. */
export function timeText(t: number, { seconds = true } = {}): string {
  const p = partsIn(t, zone.value);
  if (p === null) return `${t} s`;
  const clock = `${two(p.hour)}:${two(p.minute)}`;
  const date = `${String(p.year).padStart(4, "0")}-${two(p.month)}-${two(p.day)}`;
  if (!seconds) return `${date} ${clock}`;
  const fraction = Math.round((t - Math.floor(t)) * 1000) % 1000;
  return `${date} ${clock}:${two(p.second)}${fraction ? `.${String(fraction).padStart(3, "0")}` : ""}`;
}

export const dateText = (t: number): string => timeText(t, { seconds: false }).slice(0, 10);

/** How long ago, in words: `5 minutes ago`, `in 2 hours`. */
export function agoText(t: number, at = now()): string {
  const s = at - t;
  const size = Math.abs(s);
  if (size < 5) return "just now";
  const text = durationText(size);
  return s >= 0 ? `${text} ago` : `in ${text}`;
}

const UNITS: readonly (readonly [number, string])[] = [
  [365 * DAY, "year"],
  [30 * DAY, "month"],
  [DAY, "day"],
  [HOUR, "hour"],
  [MINUTE, "minute"],
];

/** A length of time in words, with its largest unit: `3 hours`. */
export function durationText(s: number): string {
  for (const [unit, name] of UNITS) {
    if (s >= unit) {
      const n = Math.floor(s / unit);
      return `${n} ${name}${n === 1 ? "" : "s"}`;
    }
  }
  const n = Math.max(0, Math.round(s));
  return `${n} second${n === 1 ? "" : "s"}`;
}

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(name: string): Intl.DateTimeFormat {
  let format = formats.get(name);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-u-ca-iso8601", {
      timeZone: name,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(name, format);
  }
  return format;
}

/** What calendar and clock show at `t`; null if no calendar goes that far. */
export function partsIn(t: number, zoneName: string): Parts | null {
  const date = new Date(Math.floor(t) * 1000);
  if (Number.isNaN(date.getTime())) return null;
  const parts: Parts = { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0 };
  for (const { type, value } of formatOf(zoneName).formatToParts(date)) {
    if (type in parts) parts[type as keyof Parts] = Number(value);
  }
  return parts;
}

/** Offsets at the beginnings of days (of UTC), by zone: to ask for one takes microseconds, and files have many rows. */
const offsets = new Map<string, Map<number, number>>();
const OFFSETS_MAX = 50_000;

/** How far the clock in the zone is ahead of UTC at `t`, in seconds. */
export function offsetAt(t: number, zoneName: string): number {
  const day = Math.floor(t / DAY);
  const before = offsetOfDay(day, zoneName);
  return before === offsetOfDay(day + 1, zoneName) ? before : readOffset(t, zoneName);
}

function offsetOfDay(day: number, zoneName: string): number {
  let known = offsets.get(zoneName);
  if (known === undefined || known.size > OFFSETS_MAX) offsets.set(zoneName, (known = new Map<number, number>()));
  let offset = known.get(day);
  if (offset === undefined) known.set(day, (offset = readOffset(day * DAY, zoneName)));
  return offset;
}

function readOffset(t: number, zoneName: string): number {
  const p = partsIn(t, zoneName);
  if (p === null) return 0;
  return Date.UTC(p.year, p.month - 1, p.day, p.hour, p.minute, p.second) / 1000 - Math.floor(t);
}

/** When calendar and clock in a zone show something, in seconds since 1970. */
export interface LocalTime {
  /** The first time that they do; of what is skipped, when they would if the clock had not been put forward yet. */
  readonly t: number;
  /** When they show it again, as the clock was put back. */
  readonly again: number | null;
  /** The clock is put forward over it: they never show it. */
  readonly isSkipped: boolean;
}

/** When calendar and clock in the zone show `2026-11-23T15:04[:05]`; null if that is no time. */
export function localTime(text: string, zoneName = zone.value): LocalTime | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?)?$/.exec(text.trim());
  if (!found) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found.slice(1).map((part) => Number(part || 0));
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second >= 60) return null;
  const wall = Date.UTC(year, month - 1, day, hour, minute, Math.floor(second)) / 1000;
  const fraction = second % 1;
  if (new Date(Date.UTC(year, month - 1, day)).getUTCDate() !== day) return null;
  const { t, again, isSkipped } = wallTime(wall, zoneName);
  return { t: t + fraction, again: again && again + fraction, isSkipped };
}

/** The same for what they show in UTC at `wall`, in whole seconds. */
export function wallTime(wall: number, zoneName: string): LocalTime {
  const near = [offsetAt(wall - DAY, zoneName), offsetAt(wall + DAY, zoneName)];
  const at = [...new Set(near)].map((offset) => wall - offset).sort((a, b) => a - b);
  const [t, again = null] = at.filter((time) => time + offsetAt(time, zoneName) === wall);
  return t === undefined ? { t: Math.max(...at), again: null, isSkipped: true } : { t, again, isSkipped: false };
}

/** The first time at which calendar and clock in the zone show it; see `localTime`. */
export const parseLocal = (text: string, zoneName = zone.value): number | null => localTime(text, zoneName)?.t ?? null;

/** As an `input` of the type `datetime-local` takes it. */
export const localInput = (t: number): string => timeText(Math.floor(t)).replace(" ", "T");

const two = (n: number): string => String(n).padStart(2, "0");
