/** Colours and sizes that a drawing cannot take from the style sheet by itself. */
import { useEffect, useState } from "preact/hooks";

import { theme } from "../lib/settings";
import { partsIn } from "../lib/time";

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
    if (step >= 360 * 86_400) return { text: year, date: "", year: "" };
    if (step >= 28 * 86_400) return { text: MONTHS[p.month - 1] ?? "", date: "", year };
    if (step >= 86_400) return { text: date, date: "", year };
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

const STEPS = [
  0.001, 0.01, 0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
  172_800, 604_800, 1_209_600, 2_592_000, 7_776_000, 15_552_000, 31_536_000, 63_072_000, 157_680_000, 315_360_000,
];

/** Times for an axis from `t1` to `t2` with room for `n` of them, and how far they are apart. */
export function axisTimes(t1: number, t2: number, n: number, offset: number): { times: number[]; step: number } {
  const step = STEPS.find((s) => (t2 - t1) / s <= n) ?? STEPS.at(-1) ?? 1;
  const times: number[] = [];
  for (let t = Math.ceil((t1 + offset) / step) * step - offset; t <= t2 && times.length < 200; t += step) times.push(t);
  return { times, step };
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
