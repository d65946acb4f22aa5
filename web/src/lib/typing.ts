/** What is typed into a field, and the value that it stands for. */

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
