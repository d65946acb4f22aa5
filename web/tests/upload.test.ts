import { describe, expect, test } from "vitest";

import type { Json } from "../src/api";
import { toCsv } from "../src/lib/analysis";
import { missing, partsOf } from "../src/lib/sending";
import { readSheet } from "../src/lib/sheet";
import { alikeIn, guessPlan, judge, parseCell, remember, schemaFor } from "../src/lib/upload";

describe("a file", () => {
  test("of separated values has cells with quotes, commas and line ends in them", () => {
    const sheet = readSheet('\uFEFFtime,note,"a, b"\r\n1,"say ""hi""\nthere",2\r\n\r\n3,x,4');
    expect(sheet.columns).toEqual(["time", "note", "a, b"]);
    expect(sheet.rows).toEqual([
      { line: 2, cells: { time: "1", note: 'say "hi"\nthere', "a, b": "2" } },
      { line: 5, cells: { time: "3", note: "x", "a, b": "4" } },
    ]);
  });

  test("may have semicolons, tabs, no first line, or too many cells", () => {
    expect(readSheet("t;d\n1;2,5").columns).toEqual(["t", "d"]);
    expect(readSheet("a\tb\n1\t2").rows[0]?.cells).toEqual({ a: "1", b: "2" });
    expect(readSheet("2026-01-01,5\n2026-01-02,6").rows).toHaveLength(2);
    expect(readSheet("a,b\n1,2,3").rows[0]?.fault).toContain("3 cells");
  });

  test("has a first line with names, or not", () => {
    const names = (text: string, isTitled: boolean | null = null) => readSheet(text, isTitled).columns.join("|");
    const none = "column 1|column 2";
    expect(names("11/23/2026 3:04 PM,5\n11/23/2026 3:05 PM,6")).toBe(none);
    expect(names("1700000000,hello\n1700000060,world")).toBe(none);
    expect(names("2026-11-23 15:04,\n2026-11-23 15:05,x")).toBe(none);
    expect(names("time,note\n2026-11-23 15:05,x")).toBe("time|note");
    expect(names("time,2025,2026\n2026-11-23,1,2")).toBe("time|2025|2026");
    expect(names("1,2\n3,4", true)).toBe("1|2");
    expect(names("time,note\n1,x", false)).toBe(none);
  });

  test("loses nothing behind a quotation mark that is not closed", () => {
    const of = (text: string) => readSheet(text).rows.map((row) => [row.line, row.fault ?? (Object.values(row.cells) as string[]).join("|")]);
    const rest = ['3,"the pipe, 5 cm', "4,ok", "5,ok"].join("\n");
    const unclosed = [4, "A quotation mark in it is not closed."];
    expect(of(`t,note\n1,ok\n2,ok\n${rest}`)).toEqual([[2, "1|ok"], [3, "2|ok"], unclosed, [5, "4|ok"], [6, "5|ok"]]);
    const behind = "There is something behind a quotation mark that closes a cell.";
    expect(of(`t,note\n1,"a" b\n2,"c\nd"\n${rest}\n6,"x"`)).toEqual([[2, behind], [3, "2|c\nd"], [5, behind], [6, "4|ok"], [7, "5|ok"], [8, "6|x"]]);
    expect(of('t,note\n1,"a" ,2\n2,""\n')).toEqual([[2, "There are 3 cells, but 2 columns."], [3, "2|"]]);
  });

  test("has all columns that any row has, within reason", () => {
    const rows = Array.from({ length: 1500 }, (_, t) => (t === 1200 ? { t, a: 1, alarm: true } : { t, a: 1 }));
    expect(readSheet(JSON.stringify(rows)).columns).toEqual(["t", "a", "alarm"]);
    expect(() => readSheet(JSON.stringify(rows.map(({ t }) => ({ t, [`k${t}`]: 1 }))))).toThrow("more than 1,000 columns");
  });

  test("may be JSON, whole or in lines, with lines that are none", () => {
    expect(readSheet('[{"t": 1, "d": 2}, 5]').rows.map((row) => row.fault)).toEqual([undefined, "This is no object."]);
    const lines = readSheet('{"t": 1}\n\n{"t":\n{"t": 2}');
    expect(lines.rows.map((row) => [row.line, row.fault])).toEqual([[1, undefined], [3, "This line is no JSON."], [4, undefined]]);
  });

  test.each(["", "  \n", "[", "{}[", "a,b"])("%j is refused", (text) => {
    expect(() => readSheet(text)).toThrow();
  });
});

test("cells are numbers, yes and no, JSON, or text as it stands", () => {
  const values = (...cells: string[]) => cells.map((cell) => parseCell(cell, "dot").d);
  expect(values("5", "-2.5e3", " 7 ", "true", " x", "", "NaN", "007", "192.168.100.10")).toEqual([
    5, -2500, 7, true, " x", undefined, "NaN", "007", "192.168.100.10",
  ]);
  expect(values('"5"', '"- a"', "[48.1,11.5]", '{"a": 1}', "[soon", '"so')).toEqual(["5", "- a", [48.1, 11.5], { a: 1 }, "[soon", '"so']);
  const text = { type: "string" };
  expect(["5", "true", "1,5", "[1]", '"5"'].map((cell) => parseCell(cell, "comma", text).d)).toEqual(["5", "true", "1,5", "[1]", "5"]);
});

describe("numbers", () => {
  test.each([
    ["comma", "1,5", 1.5],
    ["comma", "1.234,5", 1234.5],
    ["comma", "-12.345.678", -12_345_678],
    ["comma", "192.168.100.10", "192.168.100.10"],
    ["comma", "1.2.2026", "1.2.2026"],
    ["comma", "1.2.345", "1.2.345"],
    ["groups", "12,034.5", 12_034.5],
    ["groups", "1,2,345", "1,2,345"],
  ] as const)("of the format %s: %s", (format, cell, expected) => {
    expect(parseCell(cell, format)).toEqual({ d: expected });
  });

  test.each([["comma", "3.1415"], ["dot", "1,5"], ["dot", "1,234"], ["groups", "1,5"]] as const)(
    "that may be meant otherwise are a question: %s, %s",
    (format, cell) => {
      expect(parseCell(cell, format).fault).toContain("may be a number");
    },
  );

  test.each([
    ["t;d\n1;21,5\n2;1.234,5", "comma"],
    ["t;d\n1;21.5\n2;22.5", "dot"],
    ['t,d\n1,"1,234,567"\n2,987', "groups"],
    ['t,d\n1,"1,234"\n2,987', "dot"],
    ["t;d;ip\n1;21,5;192.168.100.10", "comma"],
  ])("in %j are %s at a guess", (text, expected) => {
    expect(guessPlan(readSheet(text), "UTC").numbers).toBe(expected);
  });
});

test("values of JSON are taken as they are, unless texts are to be numbers", () => {
  const values: Json[] = ["42", "true", " hello ", "line\n", "", "1,5", 5, null, ["1"]];
  const sheet = readSheet(JSON.stringify(values.map((d, i) => ({ t: 1 + i, d }))));
  const plan = guessPlan(sheet, "UTC");
  expect(judge(sheet, plan, {}).map(({ d, fault }) => [d, fault])).toEqual(values.map((d) => [d, null]));
  expect(judge(sheet, { ...plan, unquote: true }, {}).slice(0, 3).map(({ d }) => d)).toEqual([42, "true", " hello "]);
});

test("what was saved here is nothing new", () => {
  const values: Json[] = ["12 apples", "true", [48.1, 11.5], "hello", "- item", " x", "5", 5, { a: "1" }, "a\nb", 'say "hi"', false];
  const points = values.map((d, i) => ({ t: 1_700_000_000 + i, d }));
  for (const text of [toCsv(points), JSON.stringify(points), points.map((point) => JSON.stringify(point)).join("\n")]) {
    const sheet = readSheet(text);
    const read = judge(sheet, guessPlan(sheet, "UTC"), {});
    expect(read.map(({ fault }) => fault)).toEqual(values.map(() => null));
    expect(missing(read, points)).toEqual([]);
  }
});

test("each row is told what would become of it", () => {
  const sheet = readSheet("Datum;Gewicht;Fett\n1.7.2026;70,5;20\n;71;\n2.7.2026;;\n3.7.2026;dick;");
  const plan = guessPlan(sheet, "UTC");
  expect(plan).toMatchObject({ timeColumn: "Datum", format: "dmy", numbers: "comma", valueColumns: ["Gewicht", "Fett"] });
  const found = judge(sheet, { ...plan, valueColumns: ["Gewicht"] }, { type: "number" });
  expect(found.map(({ line, d, fault }) => [line, d, fault])).toEqual([
    [2, 70.5, null],
    [3, null, "There is no time."],
    [4, null, "There is no value."],
    [5, "dick", "It has to be a number."],
  ]);
  expect(judge(sheet, plan, {})[0]?.d).toEqual({ Gewicht: 70.5, Fett: 20 });
});

test("a stream made for values takes them", () => {
  expect(schemaFor([1, 2.5])).toEqual({ type: "number" });
  expect(schemaFor([1, "x"])).toEqual({});
  expect(schemaFor([{ a: 1 }, { a: 2, b: "x" }])).toEqual({
    type: "object",
    properties: { a: { type: "number" }, b: { type: "string" } },
  });
});

test("what is there already is told by its time and value, as the server does", () => {
  const p = (t: number, d: number) => ({ t, d });
  expect(missing([p(1, 1), p(1, 1), p(2, 2), p(2, 3)], [p(1, 1), p(3, 3)])).toEqual([p(2, 2), p(2, 3)]);
  expect(missing([p(1, 1), p(1, 1)], [])).toHaveLength(2);
  expect(missing([{ t: 1, d: { a: 1, b: 2 } }], [{ t: 1, d: { b: 2, a: 1 } }])).toEqual([]);
});

test("values of one time are sent together", () => {
  const times = (...some: number[]) => some.map((t) => ({ t }));
  expect(partsOf(times(1, 2, 2, 2, 3, 4, 5), 2)).toEqual([times(1, 2, 2, 2), times(3, 4), times(5)]);
  expect(partsOf([], 2)).toEqual([]);
});

test("no value is another one than in the file", () => {
  const of = (text: string) => {
    const sheet = readSheet(text);
    return judge(sheet, guessPlan(sheet, "UTC"), {}).map(({ d, fault }) => [d, fault]);
  };
  const tooLarge: unknown = expect.stringContaining("too large");
  expect(of('[{"t":1,"d":1e400},{"t":2,"d":[{"a":-1e400}]},{"t":3,"d":1.5}]').map(([, fault]) => fault)).toEqual([tooLarge, tooLarge, null]);
  // Node.js 20 is one of those that cannot keep them.
  for (const text of ["t,d\n1,12345678901234567891", "t,d\n1,+12345678901234567891", '{"t":1,"d":12345678901234567891}'])
    expect(of(text)).toEqual([JSON.rawJSON ? [12_345_678_901_234_567_891n, null] : [expect.anything(), expect.stringContaining("more digits")]]);
  expect(JSON.stringify(of("t,__proto__,a\n1,5,6"))).toBe('[[{"__proto__":5,"a":6},null]]');
  expect(of('{"t":1,"constructor":5}\n{"t":2,"x":3}')).toEqual([[{ constructor: 5 }, null], [{ x: 3 }, null]]);
  expect(JSON.stringify(schemaFor([JSON.parse('{"__proto__":5}') as Json, { a: 1 }]))).toBe('{"type":"object","properties":{"__proto__":{"type":"number"},"a":{"type":"number"}}}');
});

test("what was chosen for a stream is known again by the columns of a file", () => {
  const sheet = readSheet("when,a,b\n1,2,3");
  const plan = { ...guessPlan(sheet, "UTC"), valueColumns: ["b"] };
  const known = remember(remember({}, "u/d/s", plan, sheet), "u/d/other", guessPlan(sheet, "UTC"), sheet);
  expect(alikeIn(known, readSheet("b,when,a\n5,6,7")).map(([path]) => path)).toEqual(["u/d/s", "u/d/other"]);
  expect(alikeIn(remember(known, "u/d/s", plan, sheet), sheet).at(-1)).toEqual(["u/d/s", plan]);
  expect(alikeIn(known, readSheet("when,a\n1,2"))).toEqual([]);
  let many = {};
  for (let i = 0; i < 100; i++) many = remember(many, `u/d/s${i}`, plan, sheet);
  expect(Object.keys(many)).toHaveLength(50);
  expect(many).toHaveProperty(["u/d/s99"]);
});
