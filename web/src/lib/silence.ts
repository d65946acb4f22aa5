/** Whether something that usually speaks has gone silent. */
import type { Device, Point, Stream } from "../api";

/** A stream with its newest values. */
export interface Newest {
  readonly stream: Stream;
  readonly points: readonly Point[];
}

/** Within this, nothing is silent. */
export const LEAST_S = 600;
const TIMES = 6;
/** Of so many devices at most it is found out whether they are silent, by so many streams of each. */
const QUIET_DEVICES = 40;
const QUIET_STREAMS = 3;

/** How long it usually is from one to the next, in seconds: the median. Infinity: that is not known. */
export function usualInterval(points: readonly { readonly t: number }[]): number {
  if (points.length < 5) return Infinity;
  const distances = points.slice(1).map((point, i) => point.t - (points[i]?.t ?? 0));
  distances.sort((a, b) => a - b);
  return distances[distances.length >> 1] ?? Infinity;
}

/** Whether nothing has come for much longer than usual; never within ten minutes. */
export const isSilent = (last: number, usual: number, at: number): boolean => at - last > Math.max(LEAST_S, TIMES * usual);

function byDevice<T>(items: readonly T[], streamOf: (item: T) => Stream): Map<string, T[]> {
  const out = new Map<string, T[]>();
  for (const item of items) {
    const { device = "" } = streamOf(item);
    const own = out.get(device);
    if (own) own.push(item);
    else out.set(device, [item]);
  }
  return out;
}

/** Of devices from which nothing has come for a while, the streams that tell whether that is unusual. */
export function quietStreams(spoken: readonly Stream[], at = Date.now() / 1000): Stream[] {
  return [...byDevice(spoken, (stream) => stream).values()]
    .filter(([newest]) => at - (newest?.newest ?? 0) > LEAST_S)
    .slice(0, QUIET_DEVICES)
    .flatMap((streams) => streams.slice(0, QUIET_STREAMS));
}

export function silentDevices(devices: readonly Device[], values: readonly Newest[], at: number) {
  const found = byDevice(values, ({ stream }) => stream);
  const out: { device: Device; last: number; usual: number }[] = [];
  for (const device of devices) {
    const own = found.get(device.name ?? "");
    if (!own || device.enabled === false) continue;
    // It speaks as long as one of its streams does.
    const judged = own.map(({ points }) => ({ last: points.at(-1)?.t ?? 0, usual: usualInterval(points) }));
    if (!judged.every(({ last, usual }) => isSilent(last, usual, at))) continue;
    const last = Math.max(...judged.map((one) => one.last));
    out.push({ device, last, usual: Math.min(...judged.map(({ usual }) => usual)) });
  }
  return out;
}
