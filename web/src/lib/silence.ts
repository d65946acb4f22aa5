/** Whether something that usually speaks has gone silent. */

/** Within this, nothing is silent. */
export const LEAST_S = 600;
const TIMES = 6;

/** How long it usually is from one to the next, in seconds: the median. Infinity: that is not known. */
export function usualInterval(points: readonly { readonly t: number }[]): number {
  if (points.length < 5) return Infinity;
  const distances = points.slice(1).map((point, i) => point.t - (points[i]?.t ?? 0));
  distances.sort((a, b) => a - b);
  return distances[distances.length >> 1] ?? Infinity;
}

/** Whether nothing has come for much longer than usual; never within ten minutes. */
export const isSilent = (last: number, usual: number, at: number): boolean => at - last > Math.max(LEAST_S, TIMES * usual);
