import { expect, test } from "vitest";

import { pinsIn } from "../src/lib/pins";

const pin = { title: "T", path: ["a", "b", "c"], query: "view=line" };

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
