import { describe, expect, test } from "vitest";

import { addTo, bandOf, chooseEvery, coarser, everyText, LADDER, TILE, usualGap, withGaps } from "../src/plots/source";

describe("windows", () => {
  test("are one to two pixels wide, and of the shortest length that there is", () => {
    expect(chooseEvery(3600, 1200)).toBe(5);
    expect(chooseEvery(86_400, 1200)).toBe(120);
    expect(chooseEvery(1, 1200)).toBe(1);
    expect(chooseEvery(1e12, 1200)).toBe(LADDER.at(-1));
  });

  test("have lengths that the API knows", () => {
    expect(LADDER.map(everyText)).toEqual([
      "1s", "2s", "5s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h", "2h", "6h", "12h", "1d", "2d", "5d", "10d",
      "30d", "100d",
    ]);
    for (const every of LADDER.filter((s) => s < 86_400)) expect(86_400 % every).toBe(0);
    expect(TILE).toBe(256);
  });

  test("that are missing are a gap", () => {
    const w = (t: number) => ({ t, n: 1, mean: t, min: t - 1, max: t + 1 });
    const curve = bandOf([w(0), w(10), w(30), w(70)], 10);
    expect(curve.t).toEqual([5, 15, 35, 40, 75]);
    expect(curve.mid).toEqual([0, 10, 30, null, 70]);
    expect(curve.hi).toEqual([1, 11, 31, null, 71]);
    expect(bandOf([w(0), w(30), w(100)], 10, 60).mid).toEqual([0, 30, null, 100]);
    expect(bandOf([w(0), w(30), w(100)], 10, Infinity).mid).toEqual([0, 30, 100]);
  });

  test("take a value that comes later, wherever it belongs", () => {
    const one = addTo([], 10, 12, 5);
    expect(one).toEqual([{ t: 10, n: 1, mean: 5, min: 5, max: 5 }]);
    const two = addTo(one, 10, 19.9, 7);
    expect(two).toEqual([{ t: 10, n: 2, mean: 6, min: 5, max: 7 }]);
    expect(addTo(two, 10, 3, 1).map((w) => w.t)).toEqual([0, 10]);
    expect(addTo(two, 10, 25, 1).map((w) => w.t)).toEqual([10, 20]);
    expect(one).toHaveLength(1);
  });

  test("put together say the same as longer ones", () => {
    let fine: ReturnType<typeof addTo> = [];
    let coarse: ReturnType<typeof addTo> = [];
    for (let t = 0; t < 1000; t += 7) {
      const d = Math.sin(t) * 100;
      fine = addTo(fine, 10, t, d);
      coarse = addTo(coarse, 60, t, d);
    }
    const made = coarser(fine, 60);
    expect(made.map((w) => [w.t, w.n, w.min, w.max])).toEqual(coarse.map((w) => [w.t, w.n, w.min, w.max]));
    for (const [i, w] of made.entries()) expect(w.mean).toBeCloseTo(coarse[i]?.mean ?? NaN, 9);
  });
});

describe("gaps", () => {
  const at = (...times: number[]) => times.map((t) => ({ t, d: t }));

  test("are where nothing came for much longer than usual", () => {
    const points = at(...Array.from({ length: 50 }, (_, i) => i * 60), 20_000, 20_060);
    const curve = withGaps(points, null);
    expect(curve.mid.filter((d) => d === null)).toHaveLength(1);
    expect(curve.t[50]).toBe((49 * 60 + 20_000) / 2);
  });

  test("are not seen where there is no usual distance", () => {
    expect(usualGap(at(1, 100))).toBe(Infinity);
    const irregular = at(0, 1, 50, 51, 200, 203, 500, 900);
    expect(withGaps(irregular, null).mid).not.toContain(null);
  });
});
