/**
 * Numbers of a stream for a line: as they are while there are few in view, and otherwise smallest, mean and largest of
 * windows of time, which the server works out. Windows come in tiles, as the parts of a map do: what has been seen is
 * there at once when one comes back to it, and while a tile is on its way, the coarser one that it is a part of is shown.
 */
import { indexAt, readPoints, type Point, type StreamPath } from "../api";

/** What is drawn: `mid` by `t`, with `lo` and `hi` around it if these are windows. A null is a gap. */
export interface Curve {
  readonly t: readonly number[];
  readonly mid: readonly (number | null)[];
  readonly lo: readonly (number | null)[] | null;
  readonly hi: readonly (number | null)[] | null;
  /** Length of a window, in seconds; 0: these are the values themselves. */
  readonly every: number;
}

/** A window: its start, and what is known of the values in it. */
export interface Window {
  readonly t: number;
  readonly n: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
}

/** Lengths of windows, in seconds. Each begins, in UTC, at a multiple of its length. */
export const LADDER: readonly number[] = [
  1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800, 432_000, 864_000, 2_592_000,
  8_640_000,
];
/** So many windows are a tile. */
export const TILE = 256;
/** Up to so many values in view are drawn as they are. */
export const RAW_MAX = 4000;
const TILES_KEPT = 400;
/** A little less than any distance between time stamps that can be stored. */
const EPSILON_S = 1e-6;

/** How the API calls a window of `s` seconds. */
export function everyText(s: number): string {
  if (s % 86_400 === 0) return `${s / 86_400}d`;
  if (s % 3600 === 0) return `${s / 3600}h`;
  if (s % 60 === 0) return `${s / 60}m`;
  return `${s}s`;
}

/** The length of windows for a view of `span` seconds on `px` pixels: one to two pixels for each. */
export function chooseEvery(span: number, px: number): number {
  const wanted = span / Math.max(100, px / 1.5);
  return LADDER.find((every) => every >= wanted) ?? LADDER.at(-1) ?? 1;
}

/** The values between which no line is drawn: where nothing came for much longer than usual. */
export function withGaps(points: readonly { readonly t: number; readonly d: number }[], gapS: number | null): Curve {
  const t: number[] = [];
  const mid: (number | null)[] = [];
  const longest = gapS ?? usualGap(points);
  for (const [i, point] of points.entries()) {
    const before = points[i - 1];
    if (before !== undefined && point.t - before.t > longest) {
      t.push((before.t + point.t) / 2);
      mid.push(null);
    }
    t.push(point.t);
    mid.push(point.d);
  }
  return { t, mid, lo: null, hi: null, every: 0 };
}

/** How long nothing has to come to be a gap: much longer than nine of ten distances. */
export function usualGap(points: readonly { readonly t: number }[]): number {
  if (points.length < 4) return Infinity;
  const distances: number[] = [];
  for (let i = 1; i < points.length; i++) distances.push((points[i]?.t ?? 0) - (points[i - 1]?.t ?? 0));
  distances.sort((a, b) => a - b);
  const usual = distances[Math.floor(distances.length * 0.9)] ?? 0;
  const median = distances[distances.length >> 1] ?? 0;
  return Math.max(3 * usual, 10 * median, EPSILON_S);
}

/** The windows as a line with a band; where two or more are missing is a gap. */
export function bandOf(windows: readonly Window[], every: number): Curve {
  const t: number[] = [];
  const mid: (number | null)[] = [];
  const lo: (number | null)[] = [];
  const hi: (number | null)[] = [];
  let last = -Infinity;
  for (const window of windows) {
    if (window.t - last > 2.5 * every && t.length) {
      t.push(last + every);
      for (const column of [mid, lo, hi]) column.push(null);
    }
    t.push(window.t + every / 2);
    mid.push(window.mean);
    lo.push(window.min);
    hi.push(window.max);
    last = window.t;
  }
  return { t, mid, lo, hi, every };
}

/** `windows` with the value `d` at `t` in the window where it belongs. */
export function addTo(windows: readonly Window[], every: number, t: number, d: number): Window[] {
  const start = Math.floor(t / every) * every;
  let at = windows.length;
  while (at > 0 && (windows[at - 1]?.t ?? 0) > start) at--;
  const known = windows[at - 1];
  const out = [...windows];
  if (known?.t === start) {
    const n = known.n + 1;
    out[at - 1] = {
      t: start,
      n,
      mean: known.mean + (d - known.mean) / n,
      min: Math.min(known.min, d),
      max: Math.max(known.max, d),
    };
  } else out.splice(at, 0, { t: start, n: 1, mean: d, min: d, max: d });
  return out;
}

/** Windows put together to longer ones, each of which holds whole ones. */
export function coarser(windows: readonly Window[], every: number): Window[] {
  const out: Window[] = [];
  for (const window of windows) {
    const start = Math.floor(window.t / every) * every;
    const last = out.at(-1);
    if (last?.t === start) {
      const n = last.n + window.n;
      out[out.length - 1] = {
        t: start,
        n,
        mean: last.mean + ((window.mean - last.mean) * window.n) / n,
        min: Math.min(last.min, window.min),
        max: Math.max(last.max, window.max),
      };
    } else out.push({ ...window, t: start });
  }
  return out;
}

interface Raw {
  readonly t1: number;
  readonly t2: number;
  points: { t: number; d: number }[];
}

export interface Progress {
  readonly curve: Curve;
  /** All that belongs into the view is there. */
  readonly complete: boolean;
  /** How many values of the stream are in view. */
  readonly n: number;
}

/** Gives what is to be drawn of a line. */
export interface ViewSource {
  /** Call `show` with what there is from `t1` to `t2`, at once and then each time that more is there. */
  view(t1: number, t2: number, px: number, show: (progress: Progress) => void, signal: AbortSignal): Promise<void>;
}

/** Reads what a view of the line needs. */
export class LineSource implements ViewSource {
  private readonly tiles = new Map<string, Window[]>();
  private raw: Raw | null = null;
  private generation = 0;

  constructor(
    private readonly path: StreamPath,
    private readonly transform: string,
    private readonly downlink = false,
    /** Seconds without a value that are a gap; `null`: what is unusual. */
    readonly gapS: number | null = null,
  ) {}

  /** Call `show` with what is to be drawn for the times from `t1` to `t2`, at once and then each time that more is there. */
  async view(t1: number, t2: number, px: number, show: (progress: Progress) => void, signal: AbortSignal): Promise<void> {
    const mine = ++this.generation;
    const span = t2 - t1;
    const every = chooseEvery(span, px);
    const inside = (curve: Curve, complete: boolean, n: number): void => {
      if (mine === this.generation && !signal.aborted) show({ curve, complete, n });
    };
    const known = this.raw;
    if (known && known.t1 <= t1 && t2 <= known.t2) {
      const points = known.points;
      const n = points.filter((point) => point.t >= t1 && point.t <= t2).length;
      if (n <= RAW_MAX) {
        inside(withGaps(points, this.gapS), true, n);
        return;
      }
    }
    if (this.hasAny(t1, t2)) inside(this.assemble(t1, t2, every), false, 0);
    const [i1, i2] = await Promise.all([indexAt(this.path, t1, signal), indexAt(this.path, t2, signal)]);
    const n = i2 - i1;
    if (n <= RAW_MAX) {
      const margin = n <= RAW_MAX / 4 ? span : 0;
      const raw = await this.readRaw(t1 - margin, t2 + margin, signal);
      if (signal.aborted) return;
      this.raw = raw;
      inside(withGaps(raw.points, this.gapS), true, n);
      return;
    }
    if (span / every < 50) {
      // So dense that there is no window short enough.
      const points = await readPoints(this.path, { ...this.range(t1, t2), points: Math.max(500, 2 * Math.round(px)) }, signal);
      inside(withGaps(numbersIn(points), this.gapS), true, n);
      return;
    }
    const length = every * TILE;
    const first = Math.floor(t1 / length);
    const last = Math.floor(t2 / length);
    for (let k = last; k >= first; k--) {
      if (this.tiles.has(`${every}:${k}`)) continue;
      await this.readTile(every, k, signal);
      if (signal.aborted) return;
      if (k > first) inside(this.assemble(t1, t2, every), false, n);
    }
    inside(this.assemble(t1, t2, every), true, n);
  }

  /** Take in what has just been written. Returns whether it was something that can be drawn. */
  add(points: readonly Point[]): boolean {
    const found = numbersIn(points);
    for (const point of found) {
      if (this.raw && point.t >= this.raw.t1 && point.t <= this.raw.t2) {
        const { points: all } = this.raw;
        let at = all.length;
        while (at > 0 && (all[at - 1]?.t ?? 0) > point.t) at--;
        all.splice(at, 0, point);
      }
      for (const [key, windows] of this.tiles) {
        const [every = 1, k = 0] = key.split(":").map(Number);
        if (Math.floor(point.t / (every * TILE)) === k) this.tiles.set(key, addTo(windows, every, point.t, point.d));
      }
    }
    return found.length > 0;
  }

  /** Have the server say anew what there is from `t1` to `t2`. */
  forget(t1: number, t2: number): void {
    if (this.raw && t1 <= this.raw.t2 && t2 >= this.raw.t1) this.raw = null;
    for (const key of [...this.tiles.keys()]) {
      const [every = 1, k = 0] = key.split(":").map(Number);
      if (Math.floor(t1 / (every * TILE)) <= k && k <= Math.floor(t2 / (every * TILE))) this.tiles.delete(key);
    }
  }

  private range(t1: number, t2: number) {
    return {
      t1: t1 - EPSILON_S,
      t2: Math.max(t2, EPSILON_S),
      ...(this.transform ? { transform: this.transform } : {}),
      ...(this.downlink ? { downlink: true } : {}),
    };
  }

  private async readRaw(t1: number, t2: number, signal: AbortSignal): Promise<Raw> {
    const points = await readPoints(this.path, this.range(t1, t2), signal);
    return { t1, t2, points: numbersIn(points) };
  }

  private async readTile(every: number, k: number, signal: AbortSignal): Promise<void> {
    const length = every * TILE;
    const points = await readPoints(
      this.path,
      { ...this.range(k * length, (k + 1) * length - EPSILON_S), every: everyText(every), stat: "mean,min,max,count" },
      signal,
    );
    const windows = points.map(({ t, d }) => {
      const { mean, min, max, count } = d as { mean: number; min: number; max: number; count: number };
      return { t, n: count, mean, min, max };
    });
    this.tiles.set(`${every}:${k}`, windows);
    if (this.tiles.size > TILES_KEPT) {
      const [oldest] = this.tiles.keys();
      if (oldest !== undefined) this.tiles.delete(oldest);
    }
  }

  private hasAny(t1: number, t2: number): boolean {
    for (const key of this.tiles.keys()) {
      const [every = 1, k = 0] = key.split(":").map(Number);
      if (k * every * TILE < t2 && (k + 1) * every * TILE > t1) return true;
    }
    return false;
  }

  /** The best that is there of the windows from `t1` to `t2`. */
  private assemble(t1: number, t2: number, every: number): Curve {
    const length = every * TILE;
    const windows: Window[] = [];
    let coarsest = every;
    for (let k = Math.floor(t1 / length); k <= Math.floor(t2 / length); k++) {
      const own = this.tiles.get(`${every}:${k}`);
      if (own) windows.push(...own);
      else {
        const [from, found] = this.substitute(every, k * length, (k + 1) * length);
        coarsest = Math.max(coarsest, from);
        windows.push(...found);
      }
    }
    return bandOf(windows, coarsest);
  }

  /** Windows of another length for those from `t1` to `t2`, which are not there. */
  private substitute(every: number, t1: number, t2: number): readonly [every: number, windows: readonly Window[]] {
    const others = LADDER.filter((other) => other > every);
    for (const other of others) {
      const found: Window[] = [];
      let whole = true;
      for (let k = Math.floor(t1 / (other * TILE)); k * other * TILE < t2; k++) {
        const tile = this.tiles.get(`${other}:${k}`);
        if (!tile) whole = false;
        else found.push(...tile.filter((window) => window.t + other > t1 && window.t < t2));
      }
      if (whole) return [other, found];
    }
    const finer = LADDER.filter((other) => other < every && every % other === 0).reverse();
    for (const other of finer) {
      const found: Window[] = [];
      for (let k = Math.floor(t1 / (other * TILE)); k * other * TILE < t2; k++) found.push(...(this.tiles.get(`${other}:${k}`) ?? []));
      if (found.length) return [every, coarser(found.filter((window) => window.t >= t1 && window.t < t2), every)];
    }
    return [every, []];
  }
}

/** Those that are numbers; true and false are 1 and 0. */
export function numbersIn(points: readonly Point[]): { t: number; d: number }[] {
  const out: { t: number; d: number }[] = [];
  for (const { t, d } of points) {
    if (typeof d === "number") out.push({ t, d });
    else if (typeof d === "bigint") out.push({ t, d: Number(d) });
    else if (typeof d === "boolean") out.push({ t, d: d ? 1 : 0 });
  }
  return out;
}
