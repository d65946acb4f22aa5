import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { LineSource, type Progress } from "../src/plots/source";
import { Turns } from "../src/plots/turns";

const START = 1_700_000_000;
const N = 100;

/** What the server has. */
let stored: { t: number; d: number }[] = [];

/** A server that takes `ms` for each answer, which is what there was when it was asked. */
function serve(ms: number): void {
  vi.stubGlobal("fetch", (url: string, { signal }: { signal?: AbortSignal }) => {
    const at = Number(new URL(url, "http://x").searchParams.get("t") ?? Infinity);
    const windows = stored.map(({ t, d }) => ({ t: Math.floor(t / 300) * 300, d: { mean: d, min: d, max: d, count: 10 } }));
    const text = JSON.stringify(url.includes("time2index") ? stored.filter(({ t }) => t < at).length : url.includes("every=") ? windows : stored);
    return new Promise((done, fail) => {
      const timer = setTimeout(() => done(new Response(text)), ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        fail(new Error("given up"));
      });
    });
  });
}

beforeEach(() => {
  vi.useFakeTimers();
  stored = Array.from({ length: N }, (_, i) => ({ t: START + 1 + i, d: 1 }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a line is drawn, and goes on, however slow the server is and however often something comes", async () => {
  for (const ms of [50, 400, 3000]) {
    serve(ms);
    stored.length = N;
    const [source, turns] = [new LineSource(["a", "b", "c"], ""), new Turns()];
    const shown: Progress[] = [];
    let t2 = START + 200;
    for (let time = 0; time < 10_000; time += 250) {
      const to = t2;
      turns.take([source, "all"], (signal) => source.view(START, to, 900, (progress) => shown.push(progress), signal));
      await vi.advanceTimersByTimeAsync(250);
      stored.push({ t: t2, d: time });
      source.add([{ t: t2, d: time }]);
      t2 += 0.25;
    }
    turns.end();
    expect(shown.length).toBeGreaterThan(10);
    // Of the forty that came all but those of the last second.
    expect(shown.at(-1)?.n).toBeGreaterThanOrEqual(N + 36);
  }
});

test("who looks at something else does not wait for what was looked at before", async () => {
  const turns = new Turns();
  const ended: string[] = [];
  const look = (name: string): void =>
    turns.take([name], (signal) =>
      new Promise((done) => {
        const timer = setTimeout(() => end(name), 1000);
        const giveUp = (): void => end(`gave up ${name}`);
        const end = (how: string): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", giveUp);
          ended.push(how);
          done();
        };
        signal.addEventListener("abort", giveUp);
      }),
    );
  look("a");
  await vi.advanceTimersByTimeAsync(500);
  look("a");
  look("b");
  await vi.advanceTimersByTimeAsync(5000);
  look("c");
  await vi.advanceTimersByTimeAsync(500);
  turns.end();
  await vi.advanceTimersByTimeAsync(5000);
  expect(ended).toEqual(["gave up a", "b", "gave up c"]);
});

test("what takes long each time leaves the server time for other things", async () => {
  const turns = new Turns();
  const begun: number[] = [];
  for (let time = 0; time < 12_000; time += 100) {
    turns.take(["a"], () => {
      begun.push(time);
      return new Promise((done) => setTimeout(done, 1000));
    });
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(begun).toHaveLength(4);
});

test.each([100, 10_000])("what is corrected while it is read is read again: %d values", async (n) => {
  serve(400);
  stored = Array.from({ length: n }, (_, i) => ({ t: START + 10 * i, d: 1 }));
  const source = new LineSource(["a", "b", "c"], "");
  const shown: Progress[] = [];
  const view = async (ms: number): Promise<void> => {
    const drawn = source.view(START, START + 100_000, 900, (progress) => shown.push(progress), new AbortController().signal);
    await vi.advanceTimersByTimeAsync(ms);
    stored = stored.map(({ t }) => ({ t, d: 2 }));
    source.forget(START + 50, START + 50);
    await vi.advanceTimersByTimeAsync(5000);
    await drawn;
  };
  await view(600);
  expect(shown.at(-1)).toMatchObject({ complete: true, curve: { every: n > 4000 ? 300 : 0 } });
  expect(shown.at(-1)?.curve.mid[0]).toBe(1);
  await view(0);
  expect(shown.at(-1)?.curve.mid[0]).toBe(2);
});
