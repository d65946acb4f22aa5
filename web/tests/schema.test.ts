import { describe, expect, test } from "vitest";

import { sentence } from "../src/api/client";
import { widgetOf } from "../src/forms/ValueField";
import { nameFault, nameOf } from "../src/lib/names";
import { PRESETS } from "../src/lib/presets";
import { match } from "../src/lib/router";
import { parseSchema, schemaFault, valueFault } from "../src/lib/schema";

describe("a schema", () => {
  test("that can be chosen has no fault", () => {
    for (const { schema } of PRESETS) expect(schemaFault(schema)).toBeNull();
  });

  test.each([
    ["{", "This is no JSON"],
    ["[]", "a schema is an object"],
    ['{"type": "integr"}', "“type” cannot be"],
    ['{"minimum": "1"}', "“minimum” has to be a number"],
    ['{"properties": {"a": {"type": "x"}}}', "In properties.a"],
    ['{"enum": []}', "“enum” has to be a list"],
    ['{"pattern": "("}', "is no regular expression"],
    ['{"anyOf": [{"type": 1}]}', "In anyOf"],
  ])("%s is told what is wrong with it", (text, told) => {
    expect(schemaFault(text)).toContain(told);
  });
});

describe("a value", () => {
  const fits = (value: unknown, schema: object): boolean => valueFault(value as never, schema as never) === null;

  test("fits its schema or is told why not", () => {
    expect(fits(5, { type: "integer" })).toBe(true);
    expect(fits(5.5, { type: "integer" })).toBe(false);
    expect(fits(5, { type: "number", minimum: 5, exclusiveMinimum: true })).toBe(false);
    expect(fits(0.3, { multipleOf: 0.1 })).toBe(true);
    expect(fits("ä", { minLength: 1, maxLength: 1 })).toBe(true);
    expect(fits("😀", { maxLength: 1 })).toBe(true);
    expect(fits(["a", "a"], { uniqueItems: true })).toBe(false);
    expect(fits({ a: 1 }, { required: ["b"] })).toBe(false);
    expect(fits({ a: "x" }, { properties: { a: { type: "number" } } })).toBe(false);
    expect(fits({ c: 1 }, { properties: {}, additionalProperties: false })).toBe(false);
    expect(fits({ a: [1] }, { enum: [{ a: [1] }] })).toBe(true);
    expect(fits(1, { anyOf: [{ type: "string" }, { maximum: 0 }] })).toBe(false);
    expect(fits(null, {})).toBe(true);
    expect(valueFault(12, { type: "integer", maximum: 10 })).toBe("It has to be at most 10.");
  });
});

test("a schema that cannot be read lets anything in, until the server says more", () => {
  expect(parseSchema("{")).toEqual({});
  expect(parseSchema(undefined)).toEqual({});
});

test("names are those that the server takes", () => {
  expect(nameOf("My Phone!")).toBe("my-phone");
  expect(nameOf("Wetter-Station Süd")).toBe("wetter-station-sud");
  expect(nameOf("123 go")).toBe("go");
  expect(nameFault("a".repeat(29))).toBeNull();
  for (const wrong of ["", "1a", "a b", "a".repeat(30), "ä"]) expect(nameFault(wrong)).not.toBeNull();
  expect(nameFault("a", ["a"])).toContain("already");
});

test("addresses lead to their page", () => {
  expect(match("/u/{}/{}", "/u/alice/phone/")).toEqual(["alice", "phone"]);
  expect(match("/u/{}/{}", "/u/alice")).toBeNull();
  expect(match("/u/{}", "/u/%zz")).toBeNull();
  expect(match("/", "/")).toEqual([]);
});

test("what the server says becomes a sentence", () => {
  expect(sentence("no permission")).toBe("No permission.");
  expect(sentence("t1 has to be")).toBe("T1 has to be.");
  expect(sentence("user_name is bad!")).toBe("user_name is bad!");
});

test("a pattern that may take for ever is left to the server", () => {
  const begun = performance.now();
  for (const pattern of ["^(a+)+$", "^((a+)+)+$", "^(a|a)*$", "^(a*){1,99}$", "^a*a*a*a*a*a*a*$"]) {
    for (const n of [20, 40, 5000]) valueFault("a".repeat(n) + "!", { pattern });
  }
  expect(performance.now() - begun).toBeLessThan(1000);
  expect(valueFault("b", { pattern: "^a+$" })).toContain("pattern");
  expect(valueFault("a", { pattern: "^a+$" })).toBeNull();
});

test("what an object has besides its properties", () => {
  const schema = { properties: { a: { type: "string" } }, additionalProperties: { type: "number" } };
  expect(valueFault({ a: "x", b: 5 }, schema)).toBeNull();
  expect(valueFault({ a: "x", b: "y" }, schema)).toContain("“b”");
});

test("as many stars as one can count", () => {
  const rated = (bounds: object): string => widgetOf({ type: "integer", ...bounds }, "rating.stars");
  for (const bounds of [{}, { minimum: 0, maximum: 5 }, { maximum: 12 }, { minimum: 10 }]) expect(rated(bounds)).toBe("stars");
  for (const bounds of [{ maximum: 1e10 }, { maximum: 200_000 }, { maximum: 0 }, { minimum: -1e10 }, { minimum: 11 }]) expect(rated(bounds)).toBe("number");
  for (const bounds of [{ minimum: 0, maximum: 1e10 }, { minimum: -5, maximum: 5 }]) expect(rated(bounds)).toBe("slider");
});
