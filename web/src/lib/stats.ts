/** Correlation of two columns, with how many pairs there are and how likely it would be by chance. */
export interface Correlation {
  /** Pearson's coefficient, from -1 to 1; NaN if one of the columns does not vary. */
  readonly r: number;
  readonly n: number;
  /** Two-sided: how likely so much would be if the two had nothing to do with each other, and pairs were independent. */
  readonly p: number;
}

export function correlation(pairs: readonly (readonly [number, number])[]): Correlation {
  const n = pairs.length;
  let [mx, my] = [0, 0];
  for (const [x, y] of pairs) {
    mx += x / n;
    my += y / n;
  }
  let [sxx, syy, sxy] = [0, 0, 0];
  let [xVaries, yVaries] = [false, false];
  for (const [x, y] of pairs) {
    // Not told by the sums: the mean of equal numbers is not always the number itself, for a computer.
    xVaries ||= x !== pairs[0]?.[0];
    yVaries ||= y !== pairs[0]?.[1];
    sxx += (x - mx) ** 2;
    syy += (y - my) ** 2;
    sxy += (x - mx) * (y - my);
  }
  const r = xVaries && yVaries && sxx > 0 && syy > 0 ? Math.max(-1, Math.min(1, sxy / Math.sqrt(sxx * syy))) : NaN;
  if (n < 3 || Number.isNaN(r)) return { r, n, p: NaN };
  const free = n - 2;
  return { r, n, p: 1 - r * r <= 0 ? 0 : incompleteBeta(1 - r * r, free / 2, 0.5) };
}

/** The regularised incomplete beta function, by its continued fraction (Lentz). */
export function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log(1 - x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a;
  const tiny = 1e-300;
  let [c, d, f] = [1, 0, 1];
  for (let i = 0; i <= 500; i++) {
    const m = i >> 1;
    const top =
      i === 0 ? 1 : i % 2 === 0 ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)) : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + top * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + top / c;
    if (Math.abs(c) < tiny) c = tiny;
    f *= c * d;
    if (Math.abs(1 - c * d) < 1e-12) break;
  }
  return front * (f - 1);
}

const LANCZOS = [
  676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

function lgamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - lgamma(1 - x);
  let sum = 0.99999999999980993;
  for (const [i, factor] of LANCZOS.entries()) sum += factor / (x + i);
  const t = x + LANCZOS.length - 1.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}
