import { describe, expect, test } from "vitest";

import { numberOf, parseJson } from "../src/api/exact";
import { natureOf, numberText } from "../src/plots/kinds";
import { numbersIn } from "../src/plots/source";
import { valueFault } from "../src/lib/schema";

const BIG = 9_223_372_036_854_775_807n;

describe("JSON", () => {
  test("of usual values is read as it always is", () => {
    for (const value of [1, -0.5, 1e300, 0.30000000000000004, 9_007_199_254_740_991, "1234567890123456789", [{ a: null }]])
      expect(parseJson(JSON.stringify(value))).toEqual(value);
    expect(() => parseJson("{")).toThrow();
  });

  // Node.js 20, which may run this, is too old for it; tests/web has it in a browser.
  test.skipIf(!JSON.rawJSON)("keeps all digits of a whole number", () => {
    const text = `[9223372036854775807,-9007199254740993,{"a":12345678901234567890},1.5,12345678901234567.5,1e20]`;
    const read = parseJson(text);
    expect(read).toEqual([BIG, -9_007_199_254_740_993n, { a: 12_345_678_901_234_567_890n }, 1.5, 12345678901234567.5, 1e20]);
    expect(JSON.stringify((read as unknown[]).slice(0, 3))).toBe(
      `[9223372036854775807,-9007199254740993,{"a":12345678901234567890}]`,
    );
    expect(numberOf("9007199254740993")).toBe(9_007_199_254_740_993n);
    expect(typeof parseJson("9".repeat(100_000))).toBe("number");
  });

  test("has numbers of any kind otherwise", () => {
    expect(numberOf("12.5")).toBe(12.5);
    expect(numberOf("-3")).toBe(-3);
    expect(numberOf("x")).toBeNaN();
  });
});

describe("a long whole number", () => {
  test("is a number wherever one is expected", () => {
    const points = [{ t: 1, d: BIG }, { t: 2, d: 5 }];
    expect(natureOf({ schema: "{}" }, points).kind).toBe("number");
    expect(numbersIn(points)).toEqual([{ t: 1, d: 2 ** 63 }, { t: 2, d: 5 }]);
    expect(numberText(BIG)).toBe("9,223,372,036,854,775,807");
  });

  test("is checked by the schema", () => {
    expect(valueFault(BIG, { type: "integer" })).toBeNull();
    expect(valueFault(BIG, { type: "number", minimum: 5 })).toBeNull();
    expect(valueFault(BIG, { type: "integer", maximum: 2 ** 62 })).toContain("at most");
    expect(valueFault(BIG, { type: "string" })).toContain("a text");
  });
});
