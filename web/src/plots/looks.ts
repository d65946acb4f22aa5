/** Colours and sizes that a drawing cannot take from the style sheet by itself. */
import { useEffect, useState } from "preact/hooks";

import { theme } from "../lib/settings";
import { DAY, HOUR, offsetAt, partsIn, wallTime } from "../lib/time";

export interface Palette {
  readonly ink: string;
  readonly faint: string;
  readonly line: string;
  readonly card: string;
  readonly accent: string;
  readonly series: readonly string[];
}

/** The colours as they are now, in the light or in the dark. */
export function palette(): Palette {
  const probe = document.createElement("span");
  document.body.append(probe);
  const get = (name: string): string => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    ink: get("--ink"),
    faint: get("--ink-2"),
    line: get("--line"),
    card: get("--card"),
    accent: get("--accent"),
    series: ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6"].map(get),
  };
  probe.remove();
  return found;
}

/** `rgb(1, 2, 3)` made to let something through. */
export const thin = (color: string, alpha: number): string =>
  color.replace(/^rgb\((.*)\)$/, (_, parts: string) =>
    parts.includes(",") ? `rgba(${parts}, ${alpha})` : `rgb(${parts} / ${alpha})`,
  );

/** The palette, anew when it changes. */
export function usePalette(): Palette {
  const [found, setFound] = useState(palette);
  const chosen = theme.value;
  useEffect(() => {
    const query = window.matchMedia("(prefers-color-scheme: dark)");
    const change = (): void => setFound(palette());
    change();
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, [chosen]);
  return found;
}

/** The width of an element, in pixels; 0 until it is known. */
export function useWidth(element: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const target = element.current;
    if (!target) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.floor(target.clientWidth)));
    observer.observe(target);
    setWidth(Math.floor(target.clientWidth));
    return () => observer.disconnect();
  }, []);
  return width;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => String(n).padStart(2, "0");

/**
 * What stands at times `step` seconds apart: no more than tells them apart, and below it what is the same for several,
 * where it begins. Dates are wide: of two beside each other the first is left out.
 */
export function axisTexts(times: readonly number[], step: number, zone: string): string[] {
  const told = times.map((t) => {
    const p = partsIn(t, zone);
    if (p === null) return { text: "", date: "", year: "" };
    const date = `${p.day} ${MONTHS[p.month - 1] ?? ""}`;
    const year = String(p.year);
    if (step >= YEAR) return { text: year, date: "", year: "" };
    if (step >= MONTH) return { text: MONTHS[p.month - 1] ?? "", date: "", year };
    if (step >= DAY) return { text: date, date: "", year };
    if (step >= 60) return { text: `${two(p.hour)}:${two(p.minute)}`, date, year };
    const s = p.second + (t - Math.floor(t));
    const second = step >= 1 ? two(p.second) : s.toFixed(3).padStart(6, "0");
    return { text: `${two(p.hour)}:${two(p.minute)}:${second}`, date, year };
  });
  let [lastDate, lastYear] = ["", ""];
  return told.map(({ text, date, year }, i) => {
    const next = told[i + 1];
    const crowded = date !== "" && i === 0 && next !== undefined && next.date !== date;
    if ((date === lastDate && year === lastYear) || crowded) return text;
    const below = [date, year === lastYear ? "" : year].filter(Boolean).join(" ");
    [lastDate, lastYear] = [date, year];
    return below ? `${text}\n${below}` : text;
  });
}

const MONTH = 30 * DAY;
const YEAR = 365 * DAY;
/** How far apart times on an axis can be, in seconds; months and years are those of the calendar. */
export const STEPS: readonly number[] = [
  ...[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800],
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14].map((n) => n * DAY),
  ...[1, 2, 3, 6].map((n) => n * MONTH),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((n) => n * YEAR),
];

/** How far apart times on an axis from `t1` to `t2` are that has room for `n` of them. */
export const axisStep = (t1: number, t2: number, n: number): number =>
  STEPS.find((step) => (t2 - t1) / step <= n) ?? STEPS.at(-1) ?? 1;

/** The times from `t1` to `t2` at which calendar and clock in the zone show a multiple of `step`. */
export function axisTimes(t1: number, t2: number, step: number, zone: string): number[] {
  const first = t1 + offsetAt(t1, zone);
  const times: number[] = [];
  if (step < HOUR) {
    // No clock is changed by less than half an hour.
    const offset = first - t1;
    for (let i = Math.ceil(first / step); i * step - offset <= t2; i++) times.push(i * step - offset);
    return times;
  }
  const months = step < MONTH ? 0 : step < YEAR ? step / MONTH : (12 * step) / YEAR;
  const begin = new Date(first * 1000);
  let i = months ? Math.floor(((begin.getUTCFullYear() - 1970) * 12 + begin.getUTCMonth()) / months) : Math.floor((first - HOUR) / step);
  for (; ; i++) {
    const { t, again, isSkipped } = wallTime(months ? Date.UTC(1970, i * months) / 1000 : i * step, zone);
    if (!(t <= t2)) return times;
    // A day may begin at one o'clock, but there is no other hour in place of one that is left out.
    const found = isSkipped && step < DAY ? [] : again !== null && step === HOUR ? [t, again] : [t];
    times.push(...found.filter((time) => time >= t1 && time <= t2));
  }
}

/** Have the browser save a drawing as a picture. */
export function savePicture(source: HTMLCanvasElement, name: string, background: string): void {
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d");
  if (!context) return;
  context.fillStyle = background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0);
  canvas.toBlob((blob) => {
    if (blob) saveBlob(blob, name);
  });
}

/** The same for an SVG, which has all of its looks in attributes. */
export async function saveSvg(svg: SVGSVGElement, name: string, background: string): Promise<void> {
  const { width, height } = svg.getBoundingClientRect();
  const copy = svg.cloneNode(true) as SVGSVGElement;
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * 2;
  canvas.height = height * 2;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  savePicture(canvas, name, background);
}

/** Have the browser save a file. */
export function saveBlob(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
