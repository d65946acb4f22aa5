import { describe, expect, test } from "vitest";

import type { Json } from "../src/api";
import { guessFormat, parseTime, timesOf, type TimeFormat } from "../src/lib/filetimes";

const utc = (...parts: Parameters<typeof Date.UTC>) => Date.UTC(...parts) / 1000;

const at = (value: Json, format: TimeFormat, zone: string) => parseTime(value, format, zone)?.t ?? null;

describe("a time", () => {
  test("is read in its format and zone", () => {
    expect(at("1700000000.5", "s", "UTC")).toBe(1_700_000_000.5);
    expect(at(1_700_000_000_500, "ms", "UTC")).toBe(1_700_000_000.5);
    expect(at("2026-07-01 12:00", "iso", "Europe/Amsterdam")).toBe(utc(2026, 6, 1, 10));
    expect(at("2026-07-01T12:00:00+02:00", "iso", "UTC")).toBe(utc(2026, 6, 1, 10));
    expect(at("2026-07-01", "iso", "UTC")).toBe(utc(2026, 6, 1));
    expect(at("2026-07-01 12:00 +0200", "iso", "UTC")).toBe(utc(2026, 6, 1, 10));
    expect(at("2026-07-01T12:00-03", "iso", "UTC")).toBe(utc(2026, 6, 1, 15));
    expect(at("2026-11-23T15:04:05.123456+00:00", "iso", "UTC")).toBe(1_795_446_245.123456);
    expect(at("2026-11-23T15:04:05,123456Z", "iso", "UTC")).toBe(1_795_446_245.123456);
    expect(at("2026-02-30T15:04:05Z", "iso", "UTC")).toBeNull();
    expect(at("1.7.2026 9:05", "dmy", "UTC")).toBe(utc(2026, 6, 1, 9, 5));
    expect(at("07/01/2026 12:05 AM", "mdy", "UTC")).toBe(utc(2026, 6, 1, 0, 5));
    expect(at("07/01/2026, 12:05:30 PM", "mdy", "UTC")).toBe(utc(2026, 6, 1, 12, 5, 30));
  });

  test.each(["", "NaN", "yesterday", "-5", "1e300", null, true])("%j is none", (value) => {
    for (const format of ["s", "ms", "iso", "dmy", "mdy"] as const) expect(at(value, format, "UTC")).toBeNull();
  });

  test("is one that the server can keep: 0 would be now", () => {
    for (const [text, format] of [["0", "s"], ["0.0", "ms"], ["1970-01-01 00:00", "iso"], ["253402300800", "s"]] as const)
      expect(at(text, format, "UTC")).toBeNull();
    expect(at("0.5", "s", "UTC")).toBe(0.5);
    expect(at("9999-12-31T23:59:59Z", "iso", "UTC")).toBe(253_402_300_799);
  });

  test("has a format that can be guessed", () => {
    expect(guessFormat(["1700000000"])).toBe("s");
    expect(guessFormat([1_700_000_000_000])).toBe("ms");
    expect(guessFormat(["23.11.2026"])).toBe("dmy");
    expect(guessFormat(["01/02/2026", "11/23/2026"])).toBe("mdy");
    expect(guessFormat(["23/11/2026"])).toBe("dmy");
    expect(guessFormat(["2026-11-23T10:00Z"])).toBe("iso");
  });
});

describe("the night when the clock is put back", () => {
  const hour = utc(2026, 9, 25, 0); // 02:00 for the first time
  const minutes = (texts: readonly string[]) =>
    timesOf(texts.map((text) => `2026-10-25 ${text}`), "iso", "Europe/Amsterdam").map((time) => time && (time.t - hour) / 60);

  test.each([
    [["01:45", "02:00", "02:30", "02:00", "02:30", "03:00"], [-15, 0, 30, 60, 90, 120]],
    [["01:00", "02:00", "02:00", "03:00"], [-60, 0, 60, 120]],
    [["02:15", "02:45", "02:30"], [15, 45, 90]],
    [["03:00", "02:30", "02:00", "02:30", "02:00", "01:45"], [120, 90, 60, 30, 0, -15]],
    [["01:00", "01:00", "02:00", "02:00", "03:00", "03:00"], [-60, -60, 0, 0, 120, 120]], // of two sensors
    [["02:30", "nonsense", "02:00"], [30, null, 0]],
  ])("%j has its times by the order of the rows", (texts, expected) => {
    expect(minutes(texts)).toEqual(expected);
  });

  test("is told, as is what the clock leaves out", () => {
    const notes = (...texts: string[]) => timesOf(texts, "iso", "Europe/Amsterdam").map((time) => time?.note ?? null);
    expect(notes("2026-10-25 02:00", "2026-10-25 02:00", "2026-10-25 03:00")).toEqual([
      expect.stringContaining("the first is taken"),
      expect.stringContaining("the second is taken"),
      null,
    ]);
    expect(notes("2026-03-29 01:59", "2026-03-29 02:30", "2026-03-29 03:00")).toEqual([
      null,
      expect.stringContaining("put forward"),
      null,
    ]);
    expect(notes("2026-10-25T02:00+02:00", "2026-03-29T02:30Z")).toEqual([null, null]);
  });

  test("is as many values as there are rows, whatever the fraction and the zone", () => {
    expect(timesOf(["2004-01-10T14:37:04.1"], "iso", "Europe/Amsterdam")[0]?.note).toBeNull();
    expect(timesOf(["2026-04-05 01:45", "2026-04-05 01:30", "2026-04-05 01:45"], "iso", "Australia/Lord_Howe").map((time) => time?.t)).toEqual([
      utc(2026, 3, 4, 14, 45),
      utc(2026, 3, 4, 15),
      utc(2026, 3, 4, 15, 15),
    ]);
  });
});
