/** What is typed into a field, and the value that it stands for. */
import type { Json } from "../api/client";
import { numberOf } from "../api/exact";

/** With commas between thousands, as numbers are shown here; if there is one comma only, it may be a decimal one, too. */
const THOUSANDS = /^[+-]?[1-9]\d{0,2}((?:,\d{3})+)(\.\d+)?$/;

/** The number in `text`, which may have a decimal comma; `text` itself if that is none, undefined if it is empty. */
export function numberIn(text: string): Json | undefined {
  const plain = text.trim();
  if (!plain) return undefined;
  const value = THOUSANDS.test(plain) ? NaN : numberOf(plain.replace(",", "."));
  return typeof value === "bigint" || Number.isFinite(value) ? value : text;
}

/** Why `text` is not taken for a number, although it looks like one; null if it does not. */
export function commaFault(text: string): string | null {
  const plain = text.trim();
  const [found, groups, rest] = THOUSANDS.exec(plain) ?? [];
  if (found === undefined) return null;
  const whole = plain.replaceAll(",", "");
  if (groups?.length === 4 && rest === undefined) return `${whole} or ${plain.replace(",", ".")}? Write it without a comma.`;
  return `Write it without commas: ${whole}.`;
}

const BREAKS = /\r\n?|\n/g;

/** The first line break in `text`; undefined if it has only one line. */
export const breakOf = (text: string): string | undefined => text.match(BREAKS)?.[0];

/** As a field has it, which knows one kind of line break only. */
export const asShown = (text: string): string => text.replace(BREAKS, "\n");

/** The text `shown` in a field that had `before`: each line break that is still there stays as it was, new ones are `usual`. */
export function withBreaks(shown: string, before: string, usual = "\n"): string {
  const known = before.match(/\r\n|[^]/g) ?? [];
  const most = Math.min(known.length, shown.length);
  let start = 0;
  while (start < most && asShown(known[start] ?? "") === shown[start]) start++;
  let end = 0;
  while (end < most - start && asShown(known.at(-1 - end) ?? "") === shown.at(-1 - end)) end++;
  const fresh = shown.slice(start, shown.length - end).replaceAll("\n", usual);
  return known.slice(0, start).join("") + fresh + known.slice(known.length - end).join("");
}
