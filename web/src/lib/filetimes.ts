/** Reading the times in files: which formats there are, and what a time of day says that a clock shows twice or never. */
import type { Json } from "../api";
import { localTime, type LocalTime } from "./time";

export type TimeFormat = "iso" | "s" | "ms" | "dmy" | "mdy";

export const TIME_FORMATS: readonly (readonly [TimeFormat, string])[] = [
  ["iso", "2026-11-23 15:04:05 (ISO 8601)"],
  ["s", "seconds since 1970"],
  ["ms", "milliseconds since 1970"],
  ["dmy", "23.11.2026 15:04 (day first)"],
  ["mdy", "11/23/2026 3:04 PM (month first)"],
];

/** The last second of the year 9999. The first one of 1970 is no time: to the server, 0 means now. */
const T_MAX = 253_402_300_799;

/** A cell as it stands in the file. */
export const textOf = (value: Json): string => (typeof value === "string" ? value : JSON.stringify(value));

/** The format that the times of a column have. */
export function guessFormat(values: readonly Json[]): TimeFormat {
  const texts = values.map((value) => textOf(value).trim()).filter(Boolean);
  if (texts.length && texts.every((text) => /^-?\d+(\.\d+)?$/.test(text)))
    return texts.every((text) => Number(text) > 1e11) ? "ms" : "s";
  const parts = texts.map((text) => /^(\d{1,2})[./-](\d{1,2})[./-]\d{4}/.exec(text)).filter((found) => found !== null);
  if (parts.length * 2 > texts.length) {
    if (parts.some((found) => Number(found[2]) > 12)) return "mdy";
    if (parts.some((found) => Number(found[1]) > 12) || parts.some((found) => found[0].includes("."))) return "dmy";
    return "mdy";
  }
  return "iso";
}

/** The time that `value` says, in seconds since 1970; null if it says none. Without a zone of its own it is in `zone`. */
export function parseTime(value: Json | undefined, format: TimeFormat, zone: string): LocalTime | null {
  if (value === null || value === undefined || typeof value === "object" || typeof value === "boolean") return null;
  const text = String(value).trim();
  let time: LocalTime | null;
  if (format === "s" || format === "ms") {
    const number = text ? Number(text.replace(",", ".")) : NaN;
    time = plain(format === "ms" ? number / 1000 : number);
  } else if (format === "iso") {
    const zoned = /^(.*\d\d:\d\d.*?)\s*(?:Z|([+-])(\d\d)(?::?(\d\d))?)$/i.exec(text);
    const local = (zoned?.[1] ?? text).replace(/\//g, "-").replace(/,(?=\d+$)/, ".");
    time = localTime(local, zoned ? "UTC" : zone);
    if (time && zoned) {
      const [, , sign, hours = "0", minutes = "0"] = zoned;
      const offset = 3600 * Number(hours) + 60 * Number(minutes);
      time = plain(time.t + (sign === "-" ? offset : -offset));
    }
  } else {
    const found = /^(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d+)?))?\s*([AaPp][Mm])?)?$/.exec(text);
    if (!found) return null;
    const [, a = "", b = "", year = "", hours = "0", minutes = "00", seconds = "00", half] = found;
    const [day, month] = format === "dmy" ? [a, b] : [b, a];
    let hour = Number(hours);
    if (half) hour = (hour % 12) + (half.toLowerCase() === "pm" ? 12 : 0);
    const two = (part: string | number): string => String(part).padStart(2, "0");
    time = localTime(`${year}-${two(month)}-${two(day)}T${two(hour)}:${minutes}:${seconds.length > 1 ? seconds : two(seconds)}`, zone);
  }
  return time !== null && time.t > 0 && time.t <= T_MAX ? time : null;
}

/** Whether it says a time, in any of the formats that are no plain numbers. */
export const isTime = (text: string): boolean => (["iso", "dmy", "mdy"] as const).some((format) => parseTime(text, format, "UTC") !== null);

const plain = (t: number): LocalTime => ({ t, again: null, isSkipped: false });

/** When a row was; `note`: what its text alone does not tell. */
export interface RowTime {
  readonly t: number;
  readonly note: string | null;
}

/**
 * When each row of a file was, null for those that say no time. As most files go forward or back in time, the order of
 * the rows tells which of two times is meant when the clock was put back.
 */
export function timesOf(cells: readonly (Json | undefined)[], format: TimeFormat, zone: string): (RowTime | null)[] {
  const read = cells.map((cell) => parseTime(cell, format, zone));
  const known = read.filter((time) => time !== null);
  const back = (known[0]?.t ?? 0) > (known.at(-1)?.t ?? 0);
  // Where times come twice all along, equal ones in that hour say nothing.
  const doubled = known.some((time, i) => time.again === null && time.t === known[i - 1]?.t);
  const out: (RowTime | null)[] = [];
  let before = -Infinity;
  for (const time of back ? read.reverse() : read) {
    if (time === null) {
      out.push(null);
      continue;
    }
    const { t: first, again, isSkipped } = time;
    const isSecond = again !== null && (before > first || (before === first && !doubled));
    const t = isSecond ? again : first;
    out.push({ t, note: isSkipped ? SKIPPED : again === null ? null : isSecond ? SECOND : FIRST });
    before = t;
  }
  return back ? out.reverse() : out;
}

const SKIPPED = "the clock was put forward over this time, so it is taken as if that had been later";
const FIRST = "the clock showed this time twice, the first is taken";
const SECOND = "the clock showed this time twice, the second is taken, by the order of the rows";
