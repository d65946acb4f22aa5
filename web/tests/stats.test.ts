import { describe, expect, test } from "vitest";

import { correlation, incompleteBeta } from "../src/lib/stats";
import { offsetAt, parseLocal } from "../src/lib/time";
import { binsOf, gathered, niceStep, niceWidth, roughly, ticksTo } from "../src/plots/Bars";
import { axisStep, axisTexts, axisTimes } from "../src/plots/looks";
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

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Worked out with 40 digits (mpmath), by the formulas of scipy.stats.pearsonr: t = r √((n-2)/(1-r²)), Student's t. */
test.each<[name: string, pairs: [number, number][], r: number, p: number]>([
  ["nearly a line", [[1, 2.1], [2, 3.9], [3, 6.2], [4, 7.8], [5, 10.1], [6, 11.7]], 0.99889531821743869, 1.8298087274310992e-6],
  [
    "measured",
    [[44.4, 2.6], [45.9, 3.1], [41.9, 2.5], [53.3, 5], [44.7, 3.6], [44.1, 4], [50.7, 5.2], [45.2, 2.8], [60.1, 3.8]],
    0.57118155756382874,
    0.10817305434949388,
  ],
  ["three", [[1, 3], [2, 1], [4, 9]], 0.83862786937753464, 0.3667165733209231],
  ["a saw", range(100).map((i) => [i, (i * 7) % 10]), 0.027137377914817886, 0.78869062501045309],
  ["a thousand", range(1000).map((i) => [i, (i * i) % 97]), -0.0057508353033293398, 0.85587198201905855],
  ["large, and little different", range(20).map((i) => [1e9 + i, 1e9 - ((i * 3) % 11)]), -0.14297672220870373, 0.54761169314347548],
  ["beyond doubt", range(200).map((i) => [i, i + ((i * 37) % 50) * 3]), 0.79804452112825936, 1.9740333637465398e-45],
])("correlation is right to ten digits: %s", (_, pairs, r, p) => {
  const found = correlation(pairs);
  expect(found.n).toBe(pairs.length);
  expect(found.r / r).toBeCloseTo(1, 9);
  expect(found.p / p).toBeCloseTo(1, 9);
  const mirrored = correlation(pairs.map(([x, y]) => [y, -x]));
  expect(mirrored.r / r).toBeCloseTo(-1, 9);
  expect(mirrored.p / p).toBeCloseTo(1, 9);
});

test("correlation says nothing where there is nothing to be said", () => {
  expect(correlation([[1, 5], [2, 3]])).toEqual({ r: -1, n: 2, p: NaN });
  expect(correlation([[1, 5]])).toEqual({ r: NaN, n: 1, p: NaN });
  // The mean of these is not 0.1, as a computer adds.
  const constant = correlation(range(10).map((i) => [0.1, i]));
  expect(constant).toEqual({ r: NaN, n: 10, p: NaN });
  expect(correlation(range(10).map((i) => [i * i, 1 / 3])).r).toBeNaN();
});

test("parts of a histogram have widths that a person would choose, and none is left out", () => {
  expect(niceWidth(100, 24)).toBe(5);
  expect(niceWidth(0.7, 24)).toBe(0.05);
  expect(niceWidth(0, 24)).toBe(1);
  expect([0.0012, 3, 40, 51].map(niceStep)).toEqual([0.002, 5, 50, 100]);
  expect([1, 3, 4, 170, 1000].map(ticksTo)).toEqual([
    [0, 1],
    [0, 1, 2, 3],
    [0, 1, 2, 3, 4],
    [0, 50, 100, 150],
    [0, 500, 1000],
  ]);
  const bins = gathered(binsOf({ "[10,15)": 2, "[-5,0)": 1 }, 5), 5);
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
  const [t1, t2] = [1_700_000_000, 1_700_086_400];
  const step = axisStep(t1, t2, 8);
  expect(step).toBe(10_800);
  const times = axisTimes(t1, t2, step, "Europe/Amsterdam");
  expect(axisTexts(times, step, "Europe/Amsterdam").slice(0, 2)).toEqual(["00:00\n15 Nov 2023", "03:00"]);
});

describe("times on an axis", () => {
  const HOUR = 3600;
  const DAY = 24 * HOUR;
  const shown = (from: string, to: string, step: number, zone = "Europe/Berlin"): string[] => {
    const [t1 = NaN, t2 = NaN] = [from, to].map((text) => parseLocal(text, zone) ?? NaN);
    const times = axisTimes(t1, t2, step, zone);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    return times.map((t) => localText(t, zone));
  };
  const localText = (t: number, zone: string): string => new Date((t + offsetAt(t, zone)) * 1000).toISOString().slice(0, 16);
  const days = (month: string, from: number, to: number): string[] =>
    Array.from({ length: to - from + 1 }, (_, i) => `2026-${month}-${String(from + i).padStart(2, "0")}T00:00`);

  test("are midnights on both sides of a change of the clock", () => {
    expect(shown("2026-10-20", "2026-10-31", DAY)).toEqual(days("10", 20, 31));
    expect(shown("2026-10-25T00:30", "2026-10-28T12:00", DAY)).toEqual(days("10", 26, 28));
    expect(shown("2026-03-25T10:00", "2026-03-31", DAY)).toEqual(days("03", 26, 31));
    expect(shown("2026-03-29T00:30", "2026-03-31", DAY)).toEqual(days("03", 30, 31));
    expect(shown("2026-04-24T12:00", "2026-04-26", DAY, "Africa/Cairo")).toEqual(["2026-04-25T00:00", "2026-04-26T00:00"]);
    // There the clock is put forward at midnight.
    expect(shown("2026-04-23T12:00", "2026-04-25", DAY, "Africa/Cairo")).toEqual(["2026-04-24T01:00", "2026-04-25T00:00"]);
  });

  test("are hours of the clock, which come twice or not at all", () => {
    expect(shown("2026-10-25T00:00", "2026-10-25T04:00", HOUR).map((text) => text.slice(11))).toEqual(["00:00", "01:00", "02:00", "02:00", "03:00", "04:00"]);
    expect(shown("2026-03-29T00:00", "2026-03-29T04:00", HOUR).map((text) => text.slice(11))).toEqual(["00:00", "01:00", "03:00", "04:00"]);
    expect(shown("2026-10-24T18:00", "2026-10-25T18:00", 6 * HOUR).map((text) => text.slice(11))).toEqual(["18:00", "00:00", "06:00", "12:00", "18:00"]);
    expect(shown("2026-03-29T00:00", "2026-03-29T08:00", 2 * HOUR).map((text) => text.slice(11))).toEqual(["00:00", "04:00", "06:00", "08:00"]);
    expect(shown("2026-10-03T22:10", "2026-10-04T04:00", HOUR, "Australia/Lord_Howe").map((text) => text.slice(11))).toEqual(["23:00", "00:00", "01:00", "03:00", "04:00"]);
  });

  test("are the first of months and years", () => {
    expect(shown("2026-09-15", "2027-01-15", 30 * DAY).map((text) => text.slice(0, 16))).toEqual([10, 11, 12].map((n) => `2026-${n}-01T00:00`).concat("2027-01-01T00:00"));
    expect(shown("1969-12-31T12:00", "1971-01-02", 180 * DAY, "UTC")).toEqual(["1970-01-01T00:00", "1970-07-01T00:00", "1971-01-01T00:00"]);
    expect(shown("2003-02-01", "2026-01-01", 5 * 365 * DAY)).toEqual([2005, 2010, 2015, 2020, 2025].map((n) => `${n}-01-01T00:00`));
    expect(axisTimes(0, 253_402_300_799, axisStep(0, 253_402_300_799, 10), "Europe/Berlin")).toHaveLength(8);
  });

  test("are as many as there is room for", () => {
    for (let span = 0.01; span < 1e11; span *= 1.7) {
      const times = axisTimes(1e9, 1e9 + span, axisStep(1e9, 1e9 + span, 10), "America/New_York");
      expect(times.length).toBeLessThanOrEqual(13);
      expect(times.every((t) => t >= 1e9 && t <= 1e9 + span)).toBe(true);
    }
  });
});

test("dates below an axis stand where they begin, and not over each other", () => {
  const at = (text: string): number => Date.parse(`${text}Z`) / 1000;
  const hours = [18, 24, 30, 36, 42, 48].map((hour) => at("2026-12-30T00:00") + hour * 3600);
  expect(axisTexts(hours, 21_600, "UTC")).toEqual(["18:00", "00:00\n31 Dec 2026", "06:00", "12:00", "18:00", "00:00\n1 Jan 2027"]);
  expect(axisTexts(hours.slice(1, 3), 21_600, "UTC")).toEqual(["00:00\n31 Dec 2026", "06:00"]);
  expect(axisTexts([at("2026-11-01T00:00"), at("2026-12-01T00:00"), at("2027-01-01T00:00")], 30 * 86_400, "UTC")).toEqual(["Nov\n2026", "Dec", "Jan\n2027"]);
  expect(axisTexts([at("2026-11-22T12:00"), at("2026-11-23T00:00"), at("2026-11-23T12:00"), at("2026-11-24T00:00")], 43_200, "UTC")).toEqual(["12:00", "00:00\n23 Nov 2026", "12:00", "00:00\n24 Nov"]);
});

test("fine parts of a histogram become bars, and tell about where the median is", () => {
  const size = 0.1;
  const counted: Record<string, number> = {};
  let n = 0;
  for (let k = -100; k < 128; k++, n++) counted[`[${(k * size) / 64},${((k + 1) * size) / 64})`] = 1;
  const fine = binsOf(counted, size / 64);
  expect(gathered(fine, size).map((bin) => [bin.from, bin.n])).toEqual([[-0.2, 36], [-0.1, 64], [0, 64], [0.1, 64]]);
  const mean = fine.reduce((sum, { from, to }) => sum + (from + to) / 2, 0) / n;
  expect(roughly(fine, mean)).toEqual({ median: "0.0203125 to 0.021875", sd: "about 0.103" });
  // Parts that are wide, compared with how far apart the values are, tell nothing.
  expect(roughly(binsOf({ "[0,1)": 1000 }, 1), 0.5).sd).toBe("–");
});
