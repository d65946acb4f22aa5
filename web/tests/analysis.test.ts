import { describe, expect, test } from "vitest";

import { analysisFault, EMPTY, EMPTY_COLUMN, namesOf, pairsOf, readAnalysis, toCsv, toCurl, toDataset, toMerge, toPython, type Analysis } from "../src/lib/analysis";
import { isSilent, usualInterval } from "../src/lib/silence";

const NOW = 1_800_000_000;
const column = (stream: string, more: object = {}) => ({ ...EMPTY_COLUMN, stream, ...more });

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

  test("may go by number, be limited, and have merges and gaps in it", () => {
    const more = [{ stream: "b/c/steps", transform: "" }, { stream: "", transform: "" }, { stream: "c/c/steps", transform: "if $ > 1" }];
    const merged = { ...a, last: 0, limit: 5, columns: [column("a/b/steps", { allownil: true, more, transform: "sum" })] };
    expect(toDataset(merged, NOW)).toEqual({
      stream: "a/user/mood",
      limit: 5,
      dataset: {
        steps: {
          merge: [{ stream: "a/b/steps", transform: "sum" }, { stream: "b/c/steps" }, { stream: "c/c/steps", transform: "if $ > 1" }],
          interpolator: "closest",
          allownil: true,
        },
      },
    });
    expect(toPython(merged, NOW, "http://x", "a")).toContain(
      'merge1.add_stream("c/c/steps", transform="if $ > 1")\ndataset.add_stream(merge1, "closest", colname="steps", allow_null=True)',
    );
    expect(toMerge({ ...merged, last: -2, i1: -10, i2: -3 }, NOW)).toEqual([{ stream: "a/b/steps", transform: "sum", i1: -10, i2: -3 }]);
    expect(toDataset({ ...a, x: "", last: 86_400, limit: 5 }, NOW)).not.toHaveProperty("limit");
    expect(analysisFault({ ...merged, columns: [column("a/b/steps", { more: [{ stream: "b/", transform: "" }] })] }, NOW)).toContain("“b/”");
    expect(analysisFault({ ...merged, x: "", last: -2 }, NOW)).toContain("by number");
  });

  test("is read from an address, whatever that says", () => {
    expect(readAnalysis(JSON.stringify(a))).toEqual(a);
    const old = { kind: "merge", columns: [{ stream: "a/b/c", name: 5, more: "x" }, null], last: "soon", x: { y: 1 } };
    expect(readAnalysis(JSON.stringify(old))).toEqual({ ...EMPTY, kind: "merge", columns: [{ ...EMPTY_COLUMN, stream: "a/b/c" }, EMPTY_COLUMN] });
    for (const text of [null, "", "{", "5", "[]", '{"columns": 5}', '{"columns": []}', '{"columns": null}']) expect(readAnalysis(text)).toEqual(EMPTY);
    expect(readAnalysis(JSON.stringify({ columns: Array(1000).fill({}) })).columns).toHaveLength(10);
  });

  test("has a result that spreadsheets read as it is", () => {
    const rows = [{ t: 1.5, d: { a: 1, b: 'x, "y"' } }, { t: 2, d: { b: "=1+1", c: null, d: [1, true] } }, { t: 3, d: { b: "12", a: -0.5 } }];
    expect(toCsv(rows)).toBe('t,a,b,c,d\r\n1.5,1,"x, ""y""",,\r\n2,,"""=1+1""",,"[1,true]"\r\n3,-0.5,"""12""",,\r\n');
    expect(toCsv([{ t: 1, d: { a: 1 } }, { t: 2, d: "true" }])).toBe('t,d\r\n1,"{""a"":1}"\r\n2,"""true"""\r\n');
    expect(pairsOf([...rows, { t: 4, d: { a: 1, c: null, b: 2 } }], ["a", "b"])).toEqual([{ t: 4, x: 1, y: 2 }]);
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
