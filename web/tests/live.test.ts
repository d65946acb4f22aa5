import { afterAll, beforeAll, expect, test, vi } from "vitest";

import type { Batch } from "../src/lib/live";

class Socket {
  static readonly OPEN = 1;
  static readonly all: Socket[] = [];
  readonly said: string[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  constructor() {
    Socket.all.push(this);
  }
  send(text: string): void {
    this.said.push(text);
  }
  close(): void {
    this.readyState = 3;
  }
  open(): void {
    this.readyState = Socket.OPEN;
    this.onopen?.();
  }
  /** Answer what was said last. */
  answer(more: object): void {
    const { id } = JSON.parse(this.said.at(-1) ?? "{}") as { id: number };
    this.onmessage?.({ data: JSON.stringify({ id, ok: true, ...more }) });
  }
  end(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

beforeAll(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("window", { location: { protocol: "http:", host: "x" }, addEventListener: () => undefined });
  vi.stubGlobal("document", { addEventListener: () => undefined });
});
afterAll(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const sign = async (name: string): Promise<void> => {
  const { session } = await import("../src/lib/session");
  session.value = name ? { state: "user", name, device: "user", user: { name } } : { state: "nobody", ended: false };
};

/** Follow all of a user with so many streams; returns the connection, and what is told. */
async function followed(name: string, streams: number): Promise<{ socket: Socket; told: Batch[] }> {
  await sign(name);
  const { follow } = await import("../src/lib/live");
  const told: Batch[] = [];
  follow(`${name}/*/*`, (batch) => told.push(batch));
  const socket = Socket.all.at(-1) as Socket;
  socket.open();
  const names = Array.from({ length: streams }, (_, i) => [`${name}/plant/sensor${i}`, `${1000 + i}.345`] as const);
  socket.answer({ cursors: { ...Object.fromEntries<string>(names), "*": "51000" } });
  return { socket, told };
}

/** The connection after the one that ends, if it is there within `ms`. */
function next(socket: Socket, code: number, ms: number): Socket | undefined {
  const n = Socket.all.length;
  socket.end(code);
  vi.advanceTimersByTime(ms);
  return Socket.all[n];
}

test("who comes next does not get the connection of the one before", async () => {
  const { follow } = await import("../src/lib/live");
  await sign("ann");
  const end = follow("ann/*/*", () => undefined);
  const [first] = Socket.all;
  first?.open();
  await sign("");
  end();
  expect(first?.readyState).toBe(3);
  await sign("bob");
  follow("bob/*/*", () => undefined);
  const [, second, ...more] = Socket.all;
  second?.open();
  vi.advanceTimersByTime(10_000);
  expect(more).toEqual([]);
  expect(second?.readyState).toBe(Socket.OPEN);
  expect(second?.said.map((text) => (JSON.parse(text) as { arg: string }).arg)).toEqual(["bob/*/*"]);
});

test("after an interruption all goes on where it was, and may have been corrected", async () => {
  const { socket, told } = await followed("cid", 2);
  expect(told.splice(0)).toEqual([{ stream: "cid/*/*", points: [], begun: true }]);
  const second = next(socket, 1006, 1000);
  second?.open();
  expect(JSON.parse(second?.said[0] ?? "")).toMatchObject({ cursors: { "cid/plant/sensor1": "1001.345", "*": "51000" } });
  second?.answer({ cursors: {} });
  expect(told).toEqual([{ stream: "cid/*/*", points: [], corrected: { t1: -Infinity, t2: Infinity } }]);
});

test("what has more cursors than can be said begins anew, and pages look again", async () => {
  const { socket, told } = await followed("dan", 50_000);
  told.length = 0;
  const second = next(socket, 1006, 1000);
  second?.open();
  expect(JSON.parse(second?.said[0] ?? "")).toEqual({ cmd: "subscribe", arg: "dan/*/*", id: expect.any(Number) as number });
  // It is not taken for one that goes on, when this was interrupted as well.
  const third = next(second as Socket, 1006, 2000);
  third?.open();
  third?.answer({ cursors: { "dan/plant/sensor1": "2001.345", "*": "51000" } });
  expect(told).toEqual([
    { stream: "dan/*/*", points: [], begun: true },
    { stream: "dan/*/*", points: [], corrected: { t1: -Infinity, t2: Infinity } },
  ]);
  const fourth = next(third as Socket, 1006, 1000);
  fourth?.open();
  expect(JSON.parse(fourth?.said[0] ?? "")).toMatchObject({ cursors: { "dan/plant/sensor1": "2001.345" } });
});

test("a server that takes connections and closes them is asked less and less often", async () => {
  let { socket } = await followed("eve", 1);
  for (const ms of [500, 1000, 2000, 4000]) {
    expect(next(socket, 1009, 0.79 * ms)).toBeUndefined();
    vi.advanceTimersByTime(0.42 * ms);
    socket = Socket.all.at(-1) as Socket;
    expect(socket.readyState).toBe(0);
    socket.open();
  }
  socket.answer({ cursors: {} });
  expect(next(socket, 1006, 610)).toBeDefined();
});
