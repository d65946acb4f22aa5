import { describe, expect, test } from "vitest";

import { analysisFault, EMPTY, namesOf, toCurl, toDataset, toMerge, toPython, type Analysis } from "../src/lib/analysis";
import { isSilent, usualInterval } from "../src/lib/silence";

const NOW = 1_800_000_000;
const column = (stream: string, more: object = {}) => ({ stream, name: "", interpolator: "closest", transform: "", ...more });

describe("an analysis", () => {
  const a: Analysis = {
    ...EMPTY,
    x: "a/user/mood",
    last: 86_400,
    columns: [column("a/b/steps", { interpolator: "sum", transform: "if $ > 0" }), column("a/c/steps"), column("")],
  };

  test("is what the API takes", () => {
    expect(toDataset(a, NOW)).toEqual({
      stream: "a/user/mood",
      t1: NOW - 86_400,
      t2: NOW,
      dataset: {
        steps: { stream: "a/b/steps", interpolator: "sum", transform: "if $ > 0" },
        steps2: { stream: "a/c/steps", interpolator: "closest" },
      },
    });
    expect(toDataset({ ...a, last: 0 }, NOW)).toMatchObject({ stream: "a/user/mood", i1: 0 });
    expect(toMerge({ ...a, last: 0 }, NOW)).toEqual([
      { stream: "a/b/steps", transform: "if $ > 0", i1: 0 },
      { stream: "a/c/steps", i1: 0 },
    ]);
  });

  test("has columns of different names", () => {
    expect(namesOf({ ...a, columns: [column("a/b/x"), column("a/b/y", { name: "x2" })] })).toEqual(["x2", "x22"]);
  });

  test("says what is missing", () => {
    expect(analysisFault(EMPTY, NOW)).toContain("at least one stream");
    const steps = { ...a, x: "", dt: 1, last: 86_400 };
    expect(analysisFault(steps, NOW)).toContain("86,400 rows");
    expect(analysisFault({ ...steps, dt: 60 }, NOW)).toBeNull();
    expect(analysisFault({ ...steps, last: 0 }, NOW)).toContain("need a beginning");
    expect(analysisFault({ ...a, last: -1, t1: 5, t2: 5 }, NOW)).toContain("after its beginning");
  });

  test("can be copied into a shell or a program, whatever is in it", () => {
    const nasty = { ...a, columns: [column("a/b/s", { transform: "if $ == 'it\"s'" })] };
    expect(toCurl(nasty, NOW, "http://x", "a")).toContain(`if $ == '\\''it\\"s'\\''`);
    expect(toPython(nasty, NOW, "http://x", "a")).toContain('transform="if $ == \'it\\"s\'"');
  });
});

test("silence is much longer than usual", () => {
  const at = (...t: number[]) => t.map((time) => ({ t: time }));
  expect(usualInterval(at(0, 60, 120, 180, 2000))).toBe(60);
  expect(usualInterval(at(0, 60))).toBe(Infinity);
  expect(isSilent(0, 60, 599)).toBe(false);
  expect(isSilent(0, 60, 601)).toBe(true);
  expect(isSilent(0, 3600, 20_000)).toBe(false);
  expect(isSilent(0, Infinity, 1e9)).toBe(false);
});
