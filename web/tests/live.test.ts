import { expect, test, vi } from "vitest";

class Socket {
  static readonly OPEN = 1;
  static readonly all: Socket[] = [];
  readonly said: string[] = [];
  readyState = 0;
  onopen = (): void => undefined;
  constructor() {
    Socket.all.push(this);
  }
  send(text: string): void {
    this.said.push(text);
  }
  close(): void {
    this.readyState = 3;
  }
}

test("who comes next does not get the connection of the one before", async () => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("window", { location: { protocol: "http:", host: "x" }, addEventListener: () => undefined });
  vi.stubGlobal("document", { addEventListener: () => undefined });
  const { follow } = await import("../src/lib/live");
  const { session } = await import("../src/lib/session");
  const sign = (name: string): void => {
    session.value = name ? { state: "user", name, device: "user", user: { name } } : { state: "nobody", ended: false };
  };
  sign("ann");
  const end = follow("ann/*/*", () => undefined);
  const [first] = Socket.all;
  if (first) first.readyState = Socket.OPEN;
  first?.onopen();
  sign("");
  end();
  expect(first?.readyState).toBe(3);
  sign("bob");
  follow("bob/*/*", () => undefined);
  const [, second, ...more] = Socket.all;
  if (second) second.readyState = Socket.OPEN;
  second?.onopen();
  vi.advanceTimersByTime(10_000);
  expect(more).toEqual([]);
  expect(second?.readyState).toBe(Socket.OPEN);
  expect(second?.said.map((text) => (JSON.parse(text) as { arg: string }).arg)).toEqual(["bob/*/*"]);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
