import { expect, test } from "vitest";

import { quietStreams, silentDevices } from "../src/lib/silence";

const AT = 1_700_000_000;

test("of each device that is quiet, few of its streams are looked at, the newest first", () => {
  const stream = (device: string, name: string, age: number) => ({ device, name, newest: AT - age });
  const spoken = [stream("alive", "a", 5), ...["b", "c", "d", "e"].map((name, i) => stream("dead", name, 5000 + i)), stream("alive", "f", 9000)];
  expect(quietStreams(spoken, AT).map(({ name }) => name)).toEqual(["b", "c", "d"]);
});

test("a device is silent when all of its streams are", () => {
  const every = (device: string, s: number, age: number) => ({
    stream: { device, name: `${s}` },
    points: Array.from({ length: 10 }, (_, i) => ({ t: AT - age - (9 - i) * s, d: i })),
  });
  const values = [every("dead", 60, 5000), every("dead", 30, 6000), every("alive", 60, 5000), every("alive", 5000, 5000)];
  const devices = ["alive", "dead", "empty"].map((name) => ({ name }));
  expect(silentDevices(devices, values, AT)).toEqual([{ device: { name: "dead" }, last: AT - 5000, usual: 30 }]);
});

test("fifty thousand streams take no longer for being those of one device", () => {
  const spoken = Array.from({ length: 50_000 }, (_, i) => ({ device: "plant", name: `${i}`, newest: AT - 5000 - i }));
  const begun = performance.now();
  expect(quietStreams(spoken, AT)).toHaveLength(3);
  expect(performance.now() - begun).toBeLessThan(1000);
});
