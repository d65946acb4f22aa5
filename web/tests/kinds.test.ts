import { describe, expect, test } from "vitest";

import type { Json, Stream } from "../src/api";
import { natureOf, placeOf, viewsOf } from "../src/plots/kinds";

const views = (values: readonly Json[], stream: Partial<Stream> = {}) =>
  viewsOf(natureOf({ schema: "{}", ...stream }, values.map((d, t) => ({ t, d }))));

describe("places", () => {
  test("are objects with their degrees, by their usual names, and lists that begin with them", () => {
    for (const value of [{ latitude: 52, longitude: 5 }, { lat: 52, lon: 5, speed: 3 }, { lat: 52, lng: 5 }, [52, 5], [52, 5, 12]])
      expect(placeOf(value)).toEqual({ lat: 52, lon: 5 });
  });

  test("are on the Earth", () => {
    for (const value of [{ latitude: 95, longitude: 5 }, [5, 200], [1], [1, 2, 3, 4], ["52", 5], null, 7, { lat: 1 }]) expect(placeOf(value)).toBeNull();
  });

  test("are shown on a map at once where that is certain, and are offered one where it may be", () => {
    expect(views([{ lat: 52, lng: 5 }])[0]).toBe("map");
    expect(views([[52, 5]], { datatype: "location.gps" })[0]).toBe("map");
    expect(views([[52, 5]])).toEqual(["table", "map", "calendar", "json"]);
    expect(views([[52, 5], [500, 5]])).not.toContain("map");
  });
});
