import { beforeEach, expect, test, vi } from "vitest";

const stored = new Map<string, string>();

beforeEach(() => {
  vi.resetModules();
  stored.clear();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => stored.set(key, value),
  });
});

test("what is kept in another form does not count", async () => {
  const { kept } = await import("../src/lib/settings");
  for (const text of ["5", "null", "[]", "{", "true"]) {
    stored.set("connectordb.a", text);
    expect(kept("a", "first").value).toBe("first");
  }
  stored.set("connectordb.a", '"second"');
  expect(kept("a", "first").value).toBe("second");
  const lists = { type: "object", additionalProperties: { type: "array", items: { type: "string" } } };
  for (const [text, value] of [['{"x":["y"]}', { x: ["y"] }], ['{"x":[5]}', {}], ['{"x":null}', {}]] as const) {
    stored.set("connectordb.b", text);
    expect(kept("b", {}, lists).value).toEqual(value);
  }
});

test.each(['"Mars/X"', "5", "null", '"x"'])("a time zone that is none is that of the browser: %s", async (text) => {
  stored.set("connectordb.zone", text);
  const { zone, browserZone, timeText } = await import("../src/lib/time");
  expect(zone.value).toBe(browserZone());
  expect(timeText(0)).toMatch(/^19(69|70)-/);
});

test.each(["null", "5", '{"ann":null}', '{"ann":5}', '{"ann":{"pins":5}}'])("pins of another form are none: %s", async (text) => {
  stored.set("connectordb.pins", text);
  const { pins } = await import("../src/lib/pins");
  const { session } = await import("../src/lib/session");
  session.value = { state: "nobody", ended: false };
  expect(pins.value).toEqual([]);
});
