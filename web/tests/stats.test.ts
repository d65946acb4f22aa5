import { expect, test } from "vitest";

import { correlation, incompleteBeta } from "../src/lib/stats";
import { binsOf, niceWidth } from "../src/plots/Bars";
import { axisTexts, axisTimes } from "../src/plots/looks";
import { stretchesOf } from "../src/plots/Timeline";

test("the beta function has its known values", () => {
  expect(incompleteBeta(0.5, 1, 1)).toBeCloseTo(0.5, 12);
  expect(incompleteBeta(0.25, 2, 1)).toBeCloseTo(0.0625, 12);
  expect(incompleteBeta(0.3, 1, 2)).toBeCloseTo(1 - 0.49, 12);
  expect(incompleteBeta(0.4, 3, 0.5)).toBeCloseTo(1 - incompleteBeta(0.6, 0.5, 3), 12);
});

test("correlation knows a textbook's example", () => {
  // n = 5, r = 0.8: t = 2.3094 with 3 degrees of freedom, p = 0.1041.
  const found = correlation([[1, 2], [2, 1], [3, 4], [4, 3], [5, 5]]);
  expect(found.r).toBeCloseTo(0.8, 12);
  expect(found.p).toBeCloseTo(0.104, 3);
  expect(correlation([[1, 1], [2, 2], [3, 3]])).toEqual({ r: 1, n: 3, p: 0 });
  expect(correlation([[1, 5], [2, 5], [3, 5]]).r).toBeNaN();
  expect(correlation([]).n).toBe(0);
});

test("parts of a histogram have widths that a person would choose, and none is left out", () => {
  expect(niceWidth(100, 24)).toBe(5);
  expect(niceWidth(0.7, 24)).toBe(0.05);
  expect(niceWidth(0, 24)).toBe(1);
  const bins = binsOf({ "[10,15)": 2, "[-5,0)": 1 }, 5);
  expect(bins.map(({ from, n }) => [from, n])).toEqual([[-5, 1], [0, 0], [5, 0], [10, 2]]);
});

test("a state holds until the next one that differs", () => {
  const at = (t: number, d: string) => ({ t, d });
  expect(stretchesOf([at(1, "a"), at(2, "a"), at(5, "b")], 9)).toEqual([
    { from: 1, to: 5, value: "a" },
    { from: 5, to: 9, value: "b" },
  ]);
  expect(stretchesOf([], 9)).toEqual([]);
});

test("an axis tells times apart, in the zone", () => {
  const { times, step } = axisTimes(1_700_000_000, 1_700_086_400, 8, 3600);
  expect(step).toBe(10_800);
  expect(axisTexts(times, step, "Europe/Amsterdam").slice(0, 2)).toEqual(["00:00\n15 Nov 2023", "03:00"]);
});
