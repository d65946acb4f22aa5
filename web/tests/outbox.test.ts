import { afterEach, beforeEach, expect, test, vi } from "vitest";

class Storage {
  readonly map = new Map<string, string>();
  full = false;
  get length(): number {
    return this.map.size;
  }
  key(i: number): string | null {
    return [...this.map.keys()][i] ?? null;
  }
  getItem(key: string): string | null {
    return this.map.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    if (this.full) throw new DOMException("full", "QuotaExceededError");
    this.map.set(key, value);
  }
  removeItem(key: string): void {
    this.map.delete(key);
  }
}

type Answer = Response | Error;
const ok = (body = '{"stored":1}'): Response => new Response(body, { headers: { "content-type": "application/json" } });
const fault = (status: number, error = "x"): Response => new Response(JSON.stringify({ code: status, error, msg: "no", ref: "r" }), { status });
const html = (status: number): Response => new Response("<html>hotel</html>", { status, headers: { "content-type": "text/html" } });
/** The headers come, and then nothing more. */
const cut = (): Response =>
  new Response(new ReadableStream({ start: (stream) => stream.error(new TypeError("network error")) }), { headers: { "content-type": "application/json" } });

let storage: Storage;
let who: string;
let answers: Answer[];
let sources: (string | null)[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.resetModules();
  storage = new Storage();
  who = "ann/user";
  answers = [];
  sources = [];
  vi.stubGlobal("localStorage", storage);
  vi.stubGlobal("fetch", (address: string, { signal }: RequestInit = {}) => {
    const url = new URL(address, "http://x");
    if (url.searchParams.get("q") === "this") return Promise.resolve(new Response(who));
    if (!url.pathname.endsWith("/data")) return Promise.resolve(ok(who === "nobody" ? '{"needed":false}' : '{"name":"x"}'));
    sources.push(url.searchParams.get("source"));
    const next = answers.shift();
    if (next === undefined)
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  });
  // As the browser's, but by the clock of the test.
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException("too long", "TimeoutError")), ms);
    return controller.signal;
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

async function opened() {
  const box = await import("../src/lib/outbox");
  const session = await import("../src/lib/session");
  session.session.value = { state: "user", name: "ann", device: "user", user: { name: "ann" } };
  const enter = (value: number) => box.enter(["ann", "user", "weight"], "Weight", 1000 + value, value);
  return { ...box, ...session, put: enter };
}

const UNSURE: readonly (readonly [string, () => Answer])[] = [
  ["no answer", () => new TypeError("fetch failed")],
  ["an answer that breaks off", cut],
  ["the page of a hotel", () => html(200)],
  ["a proxy that does not know the server", () => html(404)],
  ...[401, 408, 425, 429, 500, 502, 507, 524].map((status) => [String(status), () => fault(status)] as const),
];

test.each(UNSURE)("an entry is kept, and sent as the same: %s", async (_, answer) => {
  const { put, flush, outbox, session, loadSession } = await opened();
  answers = [answer()];
  expect(await put(70)).toBe("kept");
  answers = [answer(), ok()];
  if (session.value.state === "nobody") await loadSession();
  expect(await flush()).toBe(0);
  expect(outbox.value.map(({ refused }) => refused)).toEqual([undefined]);
  if (session.value.state === "nobody") await loadSession();
  expect(await flush()).toBe(1);
  expect(outbox.value).toEqual([]);
  expect(new Set(sources).size).toBe(1);
});

test("what the server refuses is not kept when it is entered, and is shown when it was", async () => {
  const { put, flush, outbox } = await opened();
  answers = [fault(400)];
  await expect(put(70)).rejects.toThrow("No.");
  expect(outbox.value).toEqual([]);
  answers = [new TypeError(), fault(404)];
  await put(71);
  await flush();
  expect(outbox.value[0]?.refused).toBe("No.");
  expect(await flush()).toBe(0);
  answers = [ok()];
  expect(await flush(true)).toBe(1);
});

test.each(["nobody", "bob/user"])("what is refused to another one is not refused: %s", async (other) => {
  const { put, flush, outbox, myName, session } = await opened();
  answers = [new TypeError()];
  await put(70);
  who = other;
  answers = [fault(404)];
  expect(await flush()).toBe(0);
  expect(outbox.value.map(({ refused }) => refused)).toEqual([undefined]);
  expect(myName.value).toBe(other === "nobody" ? "" : "bob");
  if (other === "nobody") expect(session.value).toEqual({ state: "nobody", ended: true });
});

test.each([403, 404])("what is entered when the session is over is kept: %s", async (status) => {
  const { put, outbox } = await opened();
  who = "nobody";
  answers = [fault(status)];
  expect(await put(70)).toBe("kept");
  expect(outbox.value).toHaveLength(1);
});

test("a browser that keeps nothing can enter as long as there is a server", async () => {
  const { put, outbox } = await opened();
  storage.full = true;
  answers = [ok(), new TypeError()];
  expect(await put(70)).toBe("sent");
  await expect(put(71)).rejects.toThrow("could not keep it");
  expect(outbox.value).toEqual([]);
});

test("a request that hangs does not hold up the others", async () => {
  const { put, flush, outbox } = await opened();
  answers = [new TypeError(), new TypeError()];
  await put(70);
  await put(71);
  const hanging = flush();
  await vi.advanceTimersByTimeAsync(20_001);
  expect(await hanging).toBe(0);
  answers = [ok(), ok()];
  await vi.advanceTimersByTimeAsync(15_001);
  expect(outbox.value).toEqual([]);
});

test("two pages that keep something at the same time keep both", async () => {
  const one = await opened();
  vi.resetModules();
  const other = await opened();
  answers = [new TypeError(), new TypeError()];
  await Promise.all([one.put(70), other.put(71)]);
  answers = [ok(), ok()];
  expect(await one.flush()).toBe(2);
});

test("what anybody may have put there is passed over", async () => {
  for (const [i, text] of ["null", "{}", "[null]", "5", "no JSON", '{"id":"a","user":"ann","path":["a"],"title":"","t":1,"d":1}'].entries())
    storage.setItem(`connectordb.outbox.${i}`, text);
  storage.setItem("connectordb.outbox", "null");
  const { outbox, flush } = await opened();
  expect(outbox.value).toEqual([]);
  expect(await flush()).toBe(0);
});

test("who leaves is forgotten, with a server or without", async () => {
  const { loadSession, signOut, lastSeen, session } = await opened();
  await loadSession();
  lastSeen.value = { user: "ann", inputs: [] };
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError()));
  await expect(signOut()).rejects.toThrow("You are still signed in.");
  await loadSession();
  expect(session.value.state).toBe("failed");
  expect([...storage.map.values()].join()).not.toContain("ann");
});

test("whose session is over is forgotten", async () => {
  const { loadSession, checkSession } = await opened();
  await loadSession();
  expect([...storage.map.values()].join()).toContain("ann");
  who = "nobody";
  await checkSession();
  expect([...storage.map.values()].join()).not.toContain("ann");
});
