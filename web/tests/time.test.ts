import { describe, expect, test } from "vitest";

import { agoText, durationText, localTime, offsetAt, parseLocal, partsIn } from "../src/lib/time";

describe("times in a zone", () => {
  test("are those of the clock there", () => {
    expect(parseLocal("2026-11-23T15:04", "Europe/Amsterdam")).toBe(Date.UTC(2026, 10, 23, 14, 4) / 1000);
    expect(parseLocal("2026-07-01 00:00:01.5", "America/New_York")).toBe(Date.UTC(2026, 6, 1, 4, 0, 1) / 1000 + 0.5);
    expect(parseLocal("2026-07-01", "Asia/Kathmandu")).toBe(Date.UTC(2026, 5, 30, 18, 15) / 1000);
    expect(offsetAt(0, "UTC")).toBe(0);
  });

  test("that come twice are the first, and that are left out the jump", () => {
    expect(parseLocal("2026-10-25T02:30", "Europe/Amsterdam")).toBe(Date.UTC(2026, 9, 25, 0, 30) / 1000);
    expect(parseLocal("2026-03-29T02:30", "Europe/Amsterdam")).toBe(Date.UTC(2026, 2, 29, 1, 30) / 1000);
  });

  test("that come twice, or never, are told", () => {
    const first = Date.UTC(2026, 9, 25, 0, 30) / 1000;
    expect(localTime("2026-10-25T02:30:00", "Europe/Amsterdam")).toEqual({ t: first, again: first + 3600, isSkipped: false });
    expect(localTime("2026-10-25T03:00:00", "Europe/Amsterdam")).toMatchObject({ again: null, isSkipped: false });
    expect(localTime("2026-03-29T02:30:00", "Europe/Amsterdam")).toMatchObject({ again: null, isSkipped: true });
  });

  test("that are none are refused", () => {
    for (const text of ["", "2026-13-01", "2026-02-30", "2026-01-01T24:00", "tomorrow", "2026-1-1", "2026-01-01T10:60"])
      expect(parseLocal(text, "UTC")).toBeNull();
  });

  test("go there and back", () => {
    for (let t = 1_700_000_000; t < 1_740_000_000; t += 9_999_991 / 13) {
      const p = partsIn(t, "Australia/Lord_Howe");
      const text = `${p?.year}-${[p?.month, p?.day].map((n) => String(n).padStart(2, "0")).join("-")}T${[p?.hour, p?.minute, p?.second].map((n) => String(n).padStart(2, "0")).join(":")}`;
      expect(Math.abs((parseLocal(text, "Australia/Lord_Howe") ?? 0) - Math.floor(t))).toBeLessThanOrEqual(1800);
    }
  });
});

test("lengths of time are words", () => {
  expect(durationText(0.4)).toBe("0 seconds");
  expect(durationText(61)).toBe("1 minute");
  expect(durationText(86_400 * 40)).toBe("1 month");
  expect(agoText(100, 100)).toBe("just now");
  expect(agoText(100, 7300)).toBe("2 hours ago");
  expect(agoText(7300, 100)).toBe("in 2 hours");
});

test("offsets are exact in the days when clocks change, and quick to ask for", () => {
  const berlin = Date.UTC(2026, 9, 25, 1) / 1000;
  expect([berlin - 1, berlin, berlin + 1].map((t) => offsetAt(t, "Europe/Berlin"))).toEqual([7200, 3600, 3600]);
  const apia = Date.UTC(2011, 11, 30, 10) / 1000; // the day that Samoa left out
  expect([apia - 1, apia].map((t) => offsetAt(t, "Pacific/Apia"))).toEqual([-36_000, 50_400]);
  const began = performance.now();
  for (let i = 0; i < 200_000; i++) offsetAt(1.7e9 + i * 60, "Europe/Berlin");
  expect(performance.now() - began).toBeLessThan(500);
});
