import { describe, expect, test } from "vitest";

import { asShown, breakOf, commaFault, numberIn, withBreaks } from "../src/lib/typing";

describe("line breaks", () => {
  test("stay as they are where nothing is typed", () => {
    for (const text of ["", "one line", "a\r\nb", "a\rb\nc\r\nd\n\r\n", "\r\n\r\n", "\n\r"]) expect(withBreaks(asShown(text), text)).toBe(text);
  });

  test("of other lines stay as they are while one is edited", () => {
    const before = "a\r\nb\nc\rd";
    expect(withBreaks("a\nbb\nc\nd", before)).toBe("a\r\nbb\nc\rd");
    expect(withBreaks("a\nc\nd", before)).toBe("a\r\nc\rd");
    expect(withBreaks("a\nb\nc\nd!", before)).toBe("a\r\nb\nc\rd!");
    expect(withBreaks("", before)).toBe("");
  });

  test("that are new are as the first that was there", () => {
    const before = "a\r\nb";
    expect(breakOf(before)).toBe("\r\n");
    expect(withBreaks("a\nx\ny\nb", before, breakOf(before))).toBe("a\r\nx\r\ny\r\nb");
    expect(withBreaks("x\ny", "", "\r\n")).toBe("x\r\ny");
    expect(breakOf("one line")).toBeUndefined();
  });
});

describe("numbers", () => {
  test("may have a decimal comma", () => {
    for (const [text, value] of [["70,5", 70.5], ["0,125", 0.125], ["-1,25", -1.25], ["1,2345", 1.2345], ["1234,567", 1234.567], [" 1234 ", 1234], ["1.234", 1.234]] as const) {
      expect(numberIn(text)).toBe(value);
      expect(commaFault(text)).toBeNull();
    }
  });

  test("are not guessed where a comma may stand between thousands", () => {
    for (const text of ["1,234", "-12,000", "+999,999"]) expect(numberIn(text)).toBe(text);
    expect(commaFault("1,234")).toBe("1234 or 1.234? Write it without a comma.");
    for (const text of ["1,234,567", "1,234.5", "1,2,3", "about 70"]) expect(numberIn(text)).toBe(text);
    expect(commaFault("1,234,567")).toBe("Write it without commas: 1234567.");
    expect(commaFault("1,234.5")).toBe("Write it without commas: 1234.5.");
    expect(commaFault("about 70")).toBeNull();
    expect(numberIn(" ")).toBeUndefined();
  });
});
