import { describe, expect, test } from "vitest";

import { asShown, breakOf, withBreaks } from "../src/lib/typing";

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
