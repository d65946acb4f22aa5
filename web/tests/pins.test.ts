import { expect, test } from "vitest";

import { changed, pinsIn } from "../src/lib/pins";

const pin = { title: "T", path: ["a", "b", "c"] as [string, string, string], query: "view=line" };

test("pins are read from what anything may have written", () => {
  expect(pinsIn([pin])).toEqual([pin]);
  expect(pinsIn([pin, pin, { ...pin, query: "" }])).toEqual([pin, { ...pin, query: "" }]);
  for (const value of [undefined, null, 5, "x", {}, pin, [null, 5, [], {}], [{ ...pin, path: "a/b/c" }]]) expect(pinsIn(value)).toEqual([]);
  for (const path of [["a", "b"], ["a", "b", "c", "d"], ["a", "b", 5], ["a", "..", "c"], ["", "b", "c"], ["a", "b/x", "c"], ["<b>", "b", "c"]])
    expect(pinsIn([{ ...pin, path }])).toEqual([]);
  expect(pinsIn([{ ...pin, title: 5 }, { ...pin, query: null }, { ...pin, query: "x".repeat(5000) }])).toEqual([]);
  expect(pinsIn([{ ...pin, title: "x".repeat(5000) }])[0]?.title).toHaveLength(200);
  expect(pinsIn(Array.from({ length: 1000 }, (_, i) => ({ ...pin, query: String(i) })))).toHaveLength(50);
});

test("what was changed here is changed there, and nothing else", () => {
  const pins = (names: string) => names.split(" ").filter(Boolean).map((name) => ({ ...pin, query: name }));
  const names = (there: string, before: string, after: string) => changed(pins(there), pins(before), pins(after)).map(({ query }) => query).join(" ");
  expect(names("a x y z", "a", "a b")).toBe("a x y z b");
  expect(names("a x y z", "a b", "b")).toBe("x y z");
  expect(names("", "a b", "a b c")).toBe("c");
  expect(names("a b c d", "a b c", "a b c d")).toBe("a b c d");
  expect(names("x a", "", "a b")).toBe("x a b");
  expect(changed(pins("a b"), [], Array.from({ length: 50 }, (_, i) => ({ ...pin, query: String(i) })))).toHaveLength(50);
});
