import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Problem, type Downlink } from "../src/api";
import { watchDownlink } from "../src/lib/commands";

const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
const show = (state: string): void => {
  page.visibilityState = state;
  page.dispatchEvent(new Event("visibilitychange"));
};
const command = (state: Downlink["state"]): Downlink => ({ id: 1, stream: "a/b/c", t: 0, d: true, o: "a/user", state, expires: 9, changed: 0, by: "", msg: "" });
const waits: number[] = [];

/** A server that holds each question as long as it is asked to, and says `state` then. */
const server = { state: "queued" as Downlink["state"], fault: null as Error | null };
const read = (wait: number, signal: AbortSignal): Promise<Downlink> => {
  waits.push(wait);
  if (server.fault) return Promise.reject(server.fault);
  return new Promise((resolve, reject) => {
    setTimeout(() => resolve(command(server.state)), wait * 1000);
    signal.addEventListener("abort", () => reject(new Error("given up")));
  });
};

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("document", page);
  page.visibilityState = "visible";
  Object.assign(server, { state: "queued", fault: null });
  waits.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a command is followed to its end, often at first and then seldom", async () => {
  const told: string[] = [];
  const done = watchDownlink(command("queued"), read, ({ state }) => told.push(state), new AbortController().signal);
  await vi.advanceTimersByTimeAsync(160_000);
  expect(waits.length).toBe(60 + 10 + 1);
  server.state = "delivered";
  await vi.advanceTimersByTimeAsync(10_000);
  expect(waits.at(-1)).toBe(50);
  server.state = "expired";
  await vi.advanceTimersByTimeAsync(50_000);
  await done;
  expect(told.slice(-2)).toEqual(["delivered", "expired"]);
});

test("nothing is asked while the page is hidden", async () => {
  const controller = new AbortController();
  const done = watchDownlink(command("queued"), read, () => undefined, controller.signal);
  await vi.advanceTimersByTimeAsync(2500);
  const before = waits.length;
  show("hidden");
  await vi.advanceTimersByTimeAsync(100_000);
  expect(waits.length).toBe(before);
  show("visible");
  await vi.advanceTimersByTimeAsync(1500);
  expect(waits.length).toBe(before + 2);
  controller.abort();
  await done;
});

test("a server that is away is asked less and less, and one that has forgotten it not again", async () => {
  server.fault = new Problem("away", 0);
  const done = watchDownlink(command("queued"), read, () => undefined, new AbortController().signal);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(waits.length).toBeLessThan(12);
  server.fault = new Problem("forgotten", 404);
  await vi.advanceTimersByTimeAsync(60_000);
  await done;
});
