/**
 * Numbers of a stream for a line: as they are while there are few in view, and otherwise smallest, mean and largest of
 * windows of time, which the server has at hand or works out. Windows are kept in tiles, as the parts of a map are: what
 * has been seen is there at once when one comes back to it. What a view lacks comes in one request, and meanwhile coarser
 * windows are shown.
 */
import { EPSILON_S, indexAt, queried, readPoints, type Point, type StreamPath } from "../api";

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
/** Of more values than this, windows that are so much longer are shown first: the server has them in no time. */
const COARSE_POINTS = 1_000_000;
const COARSE = 5;
/** With fewer windows in view than this, they are not worth it. */
const WINDOWS_MIN = 50;

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
export function withGaps(points: readonly NumberAt[], gapS: number | null): Curve {
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

/** The windows as a line with a band; where two or more are missing, and nothing came for `gapS`, is a gap. */
export function bandOf(windows: readonly Window[], every: number, gapS: number | null = null): Curve {
  const t: number[] = [];
  const mid: (number | null)[] = [];
  const lo: (number | null)[] = [];
  const hi: (number | null)[] = [];
  let last = -Infinity;
  for (const window of windows) {
    if (window.t - last > Math.max(2.5 * every, gapS ?? 0) && t.length) {
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

/** Windows of one length that are asked for, kept and given up together. */
interface Tile {
  readonly every: number;
  readonly k: number;
  windows: readonly Window[];
}

interface Raw {
  readonly t1: number;
  readonly t2: number;
  points: NumberAt[];
}

interface NumberAt {
  readonly t: number;
  readonly d: number;
}

/** A request under way. */
interface Asked {
  readonly t1: number;
  readonly t2: number;
  /** What has been written since it was sent: nobody knows whether its answer has it. */
  readonly written: NumberAt[];
  /** Something has been forgotten of what it asked for: its answer may be from before. */
  isDoubtful: boolean;
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
  private readonly tiles = new Map<string, Tile>();
  private raw: Raw | null = null;
  private readonly underWay = new Set<Asked>();
  /** Tiles that have been read while something in them was forgotten: they are good for one view. */
  private readonly doubtful = new Set<string>();
  /** For whom what is beside the view is being read. */
  private readsBeside: AbortSignal | null = null;

  constructor(
    private readonly path: StreamPath,
    private readonly transform: string,
    private readonly downlink = false,
    /** Seconds without a value that are a gap; `null`: what is unusual. */
    private readonly gapS: number | null = null,
  ) {}

  /** Call `show` with what is to be drawn for the times from `t1` to `t2`, at once and then each time that more is there. */
  async view(t1: number, t2: number, px: number, show: (progress: Progress) => void, signal: AbortSignal): Promise<void> {
    for (const key of this.doubtful) this.tiles.delete(key);
    this.doubtful.clear();
    const span = t2 - t1;
    const every = chooseEvery(span, px);
    const inside = (curve: Curve, complete: boolean, n: number): void => {
      if (!signal.aborted) show({ curve, complete, n });
    };
    const known = this.raw;
    if (known && known.t1 <= t1 && t2 <= known.t2) {
      const n = known.points.filter((point) => point.t >= t1 && point.t <= t2).length;
      if (n <= RAW_MAX) {
        inside(withGaps(known.points, this.gapS), true, n);
        return;
      }
    }
    const length = every * TILE;
    const first = Math.floor(t1 / length);
    const last = Math.floor(t2 / length);
    const best = this.assemble(t1, t2, every);
    const atLeast = best.windows.reduce((n, w) => (w.t >= t1 && w.t + best.every <= t2 ? n + w.n : n), 0);
    const whole = span / every >= WINDOWS_MIN && atLeast > RAW_MAX && this.missing(every, first, last).length === 0;
    if (best.windows.length) inside(bandOf(best.windows, best.every, this.gapS), whole, atLeast);
    const gone = (): boolean => signal.aborted;
    if (!whole) {
      const n = atLeast > RAW_MAX ? atLeast : await this.readFew(t1, t2, inside, signal);
      if (gone() || n <= RAW_MAX) return;
      if (span / every < WINDOWS_MIN) {
        // So dense that there is no window short enough.
        const points = await readPoints(this.path, { ...this.range(t1, t2), points: Math.max(500, 2 * Math.round(px)) }, signal);
        inside(withGaps(numbersIn(points), this.gapS), true, n);
        return;
      }
      const coarse = LADDER.find((other) => other >= COARSE * every);
      if (n > COARSE_POINTS && coarse !== undefined && !best.windows.length && !this.transform) {
        const [from, to] = [t1, t2].map((t) => Math.floor(t / (coarse * TILE)));
        await this.readTiles(coarse, this.together(this.missing(coarse, from ?? 0, to ?? 0)), signal);
        if (gone()) return;
        const found = this.assemble(t1, t2, every);
        inside(bandOf(found.windows, found.every, this.gapS), false, n);
      }
      const missing = this.missing(every, first, last);
      while (missing.length) {
        await this.readTiles(every, this.together(missing), signal);
        if (gone()) return;
        const found = this.assemble(t1, t2, every);
        inside(bandOf(found.windows, found.every, this.gapS), missing.length === 0, n);
      }
    }
    void this.readBeside(every, first, last, signal).catch(() => undefined);
  }

  /** Read what is beside the view, so that moving need not wait. A transform may take long: then only what is asked for. */
  private async readBeside(every: number, first: number, last: number, signal: AbortSignal): Promise<void> {
    if (this.transform || this.readsBeside === signal) return;
    this.readsBeside = signal;
    try {
      for (const [k] of [this.missing(every, last + 1, last + 1), this.missing(every, first - 1, first - 1)]) {
        if (k === undefined || k < 0 || k * every * TILE > Date.now() / 1000) continue;
        await this.readTiles(every, [k], signal);
      }
    } finally {
      if (this.readsBeside === signal) this.readsBeside = null;
    }
  }

  /** Take in what has just been written. Returns whether it was something that can be drawn. */
  add(points: readonly Point[]): boolean {
    const found = numbersIn(points);
    for (const { written } of this.underWay) written.push(...found);
    if (this.raw) this.raw.points = joined(this.raw.points, this.raw, found);
    for (const { t, d } of found) {
      for (const every of LADDER) {
        const tile = this.tiles.get(`${every}:${Math.floor(t / (every * TILE))}`);
        if (tile) tile.windows = addTo(tile.windows, every, t, d);
      }
    }
    return found.length > 0;
  }

  /** Have the server say anew what there is from `t1` to `t2`. */
  forget(t1: number, t2: number): void {
    for (const asked of this.underWay) asked.isDoubtful ||= t1 <= asked.t2 && t2 >= asked.t1;
    if (this.raw && t1 <= this.raw.t2 && t2 >= this.raw.t1) this.raw = null;
    for (const [key, { every, k }] of this.tiles) {
      if (t1 < (k + 1) * every * TILE && t2 >= k * every * TILE) this.tiles.delete(key);
    }
  }

  private range(t1: number, t2: number) {
    return {
      ...queried({ t1, t2 }),
      ...(this.transform ? { transform: this.transform } : {}),
      ...(this.downlink ? { downlink: true } : {}),
    };
  }

  /** Show the values themselves, if they are few, with some beside them for who moves on. Returns how many are in view. */
  private async readFew(
    t1: number,
    t2: number,
    show: (curve: Curve, complete: boolean, n: number) => void,
    signal: AbortSignal,
  ): Promise<number> {
    const span = t2 - t1;
    const bounds = [t1 - span, t1, t2, t2 + span].map((t) => indexAt(this.path, Math.max(0, t), signal));
    const [before = 0, i1 = 0, i2 = 0, after = 0] = await Promise.all(bounds);
    const n = i2 - i1;
    if (n > RAW_MAX) return n;
    const from = i1 - before <= RAW_MAX ? t1 - span : t1;
    const to = after - i2 <= RAW_MAX ? t2 + span : t2;
    const raw = { t1: from, t2: to };
    const points = await this.reading(from, to, async (asked) => {
      const found = joined(numbersIn(await readPoints(this.path, this.range(from, to), signal)), raw, asked.written);
      if (!signal.aborted && !asked.isDoubtful) this.raw = { ...raw, points: found };
      return found;
    });
    if (signal.aborted) return n;
    show(withGaps(points, this.gapS), true, n);
    return n;
  }

  /** Those of the tiles from `first` to `last` that are not there. */
  private missing(every: number, first: number, last: number): number[] {
    const out: number[] = [];
    for (let k = first; k <= last; k++) if (!this.tiles.has(`${every}:${k}`)) out.push(k);
    return out;
  }

  /** Take the latest of the tiles `missing` that are beside each other, as many as are asked for in one request. */
  private together(missing: number[]): number[] {
    const out: number[] = [];
    // The server has statistics at hand, but of a transform it has to work out each value: that is shown bit by bit.
    const most = this.transform ? 1 : Infinity;
    while (missing.length && out.length < most && (out[0] === undefined || missing.at(-1) === out[0] - 1))
      out.unshift(missing.pop() ?? 0);
    return out;
  }

  private async readTiles(every: number, ks: readonly number[], signal: AbortSignal): Promise<void> {
    const length = every * TILE;
    const [first = 0, last = first] = [ks[0], ks.at(-1)];
    const [t1, t2] = [first * length, (last + 1) * length];
    await this.reading(t1, t2, async (asked) => {
      const range = this.range(t1, t2 - EPSILON_S);
      const points = await readPoints(this.path, { ...range, every: everyText(every), stat: "mean,min,max,count" }, signal);
      const found = points.map(({ t, d }) => {
        const { mean, min, max, count } = d as { mean: number; min: number; max: number; count: number };
        return { t, n: count, mean, min, max };
      });
      const late = asked.written.filter(({ t }) => t >= t1 && t < t2);
      const windows = late.reduce<readonly Window[]>((all, { t, d }) => addTo(all, every, t, d), found);
      for (const k of ks) {
        this.tiles.set(`${every}:${k}`, { every, k, windows: windows.filter(({ t }) => Math.floor(t / length) === k) });
        if (asked.isDoubtful) this.doubtful.add(`${every}:${k}`);
      }
    });
    for (const key of this.tiles.keys()) {
      if (this.tiles.size <= TILES_KEPT) break;
      this.tiles.delete(key);
    }
  }

  private async reading<T>(t1: number, t2: number, read: (asked: Asked) => Promise<T>): Promise<T> {
    const asked: Asked = { t1, t2, written: [], isDoubtful: false };
    this.underWay.add(asked);
    try {
      return await read(asked);
    } finally {
      this.underWay.delete(asked);
    }
  }

  /** The best that is there of the windows from `t1` to `t2`, and how long the longest of them are. */
  private assemble(t1: number, t2: number, every: number): { windows: readonly Window[]; every: number } {
    const length = every * TILE;
    const windows: Window[] = [];
    let coarsest = every;
    for (let k = Math.floor(t1 / length); k <= Math.floor(t2 / length); k++) {
      const own = this.tiles.get(`${every}:${k}`);
      if (own) windows.push(...own.windows);
      else {
        const [from, found] = this.substitute(every, k * length, (k + 1) * length);
        coarsest = Math.max(coarsest, from);
        windows.push(...found);
      }
    }
    return { windows, every: coarsest };
  }

  /** Windows of another length for those from `t1` to `t2`, which are not there. */
  private substitute(every: number, t1: number, t2: number): readonly [every: number, windows: readonly Window[]] {
    const beside = [...this.tiles.values()]
      .filter((tile) => tile.k * tile.every * TILE < t2 && (tile.k + 1) * tile.every * TILE > t1)
      .sort((a, b) => a.every - b.every || a.k - b.k);
    for (const other of LADDER.filter((length) => length > every)) {
      const tiles = beside.filter((tile) => tile.every === other);
      const needed = Math.ceil(t2 / (other * TILE)) - Math.floor(t1 / (other * TILE));
      if (tiles.length === needed)
        return [other, tiles.flatMap((tile) => tile.windows.filter(({ t }) => t + other > t1 && t < t2))];
    }
    const finer = beside.filter((tile) => tile.every < every && every % tile.every === 0);
    const finest = finer.filter((tile) => tile.every === finer.at(-1)?.every).flatMap((tile) => tile.windows);
    return [every, coarser(finest.filter(({ t }) => t >= t1 && t < t2), every)];
  }
}

/** `points` with those of `more` that are from the times of `within` and not among them. */
function joined(points: readonly NumberAt[], within: { readonly t1: number; readonly t2: number }, more: readonly NumberAt[]): NumberAt[] {
  const out = [...points];
  for (const point of more) {
    if (point.t < within.t1 || point.t > within.t2) continue;
    let at = out.length;
    while (at > 0 && (out[at - 1]?.t ?? 0) > point.t) at--;
    const before = out[at - 1];
    if (before?.t !== point.t || before.d !== point.d) out.splice(at, 0, point);
  }
  return out;
}

/** Those that are numbers; true and false are 1 and 0. */
export function numbersIn(points: readonly Point[]): NumberAt[] {
  const out: NumberAt[] = [];
  for (const { t, d } of points) {
    if (typeof d === "number") out.push({ t, d });
    else if (typeof d === "bigint") out.push({ t, d: Number(d) });
    else if (typeof d === "boolean") out.push({ t, d: d ? 1 : 0 });
  }
  return out;
}
