/**
 * Plots that a person wants to see on the home page. They are the newest value of the stream `user/pins`, so all
 * browsers of the person show the same; each has a copy for when it cannot reach the server.
 */
import { computed, effect } from "@preact/signals";

import { createStream, Problem, readPoints, readStream, writeNewest, type Json, type Point, type Stream, type StreamPath } from "../api";
import { connection, follow } from "./live";
import { keyOf } from "./outbox";
import { isObject, same } from "./schema";
import { myName, session } from "./session";
import { kept } from "./settings";

export interface Pin {
  readonly title: string;
  readonly path: StreamPath;
  /** The query of the address of the stream's page. */
  readonly query: string;
}

const DATATYPE = "connectordb.pins";
const PINS_MAX = 50;
const TITLE_MAX = 200;
const QUERY_MAX = 4000;
/** So often something is written anew that another browser has overwritten. */
const TRIES = 3;

const FIELDS = {
  schema: JSON.stringify({
    type: "array",
    maxItems: PINS_MAX,
    items: {
      type: "object",
      properties: {
        title: { type: "string" },
        path: { type: "array", items: { type: "string" }, minItems: 3, maxItems: 3 },
        query: { type: "string" },
      },
      required: ["title", "path", "query"],
    },
  }),
  datatype: DATATYPE,
  nickname: "Pinned plots",
  description: "Plots on the home page of the web app: the newest value counts. The app writes it when something is pinned.",
};

/** Whether it is where pins are kept, and so nothing to be filled by hand. */
export const isPinStream = (stream: Stream): boolean => stream.device === "user" && stream.datatype === DATATYPE;

/** The pins in a value that anything may have written. */
export function pinsIn(value: Json | undefined): readonly Pin[] {
  if (!Array.isArray(value)) return [];
  const out: Pin[] = [];
  for (const one of (value as readonly Json[]).slice(0, PINS_MAX)) {
    if (!isObject(one)) continue;
    const { title, path, query } = one;
    if (typeof title !== "string" || typeof query !== "string" || query.length > QUERY_MAX || !Array.isArray(path)) continue;
    const [user, device, stream, ...more] = path as readonly Json[];
    if (![user, device, stream].every((name) => typeof name === "string" && /^[\w-]+$/.test(name)) || more.length) continue;
    const pin = { title: title.slice(0, TITLE_MAX), path: [user, device, stream] as unknown as StreamPath, query };
    if (!out.some((other) => equal(other, pin))) out.push(pin);
  }
  return out;
}

/** What this browser knows, of each user; `unsent`: the server does not know it yet, and had `base` when last asked. */
interface Copy {
  readonly pins: Json;
  readonly unsent: boolean;
  readonly base?: Json;
}

const copies = kept<Readonly<Record<string, Copy>>>("pins", {}, {
  type: "object",
  additionalProperties: { type: "object", required: ["pins", "unsent"], properties: { unsent: { type: "boolean" } } },
});

export const pins = computed(() => pinsIn(copies.value[myName.value]?.pins));

const equal = (a: Pin, b: Pin): boolean => a.path.join("/") === b.path.join("/") && a.query === b.query;

export const isPinned = (pin: Pin): boolean => pins.value.some((known) => equal(known, pin));

/** What becomes of `there` by what made `after` of `before`. */
export function changed(there: readonly Pin[], before: readonly Pin[], after: readonly Pin[]): readonly Pin[] {
  const without = (some: readonly Pin[], others: readonly Pin[]): readonly Pin[] => some.filter((pin) => !others.some((other) => equal(other, pin)));
  const [removed, added] = [without(before, after), without(after, before)];
  return [...without(there, [...removed, ...added]), ...added].slice(-PINS_MAX);
}

let last: Promise<void> = Promise.resolve();
/** So often something has come live: what is being read then may be from before. */
let heard = 0;

/** Keep `next`; null: the server knows it, otherwise it has `base`. */
function keep(user: string, next: readonly Pin[], base: readonly Pin[] | null): void {
  const copy = { pins: next, unsent: base !== null, ...(base && { base }) } as unknown as Copy;
  if (!same((copies.value[user] ?? null) as Json, copy as unknown as Json)) copies.value = { ...copies.value, [user]: copy };
}

const isUnsent = (user: string): boolean => copies.peek()[user]?.unsent === true;

/** What the server had. */
function baseOf(user: string): readonly Pin[] {
  const copy = copies.peek()[user];
  return pinsIn(copy?.unsent ? copy.base : copy?.pins);
}

export function togglePin(pin: Pin): boolean {
  const user = myName.value;
  const pinned = isPinned(pin);
  keep(user, changed(pins.value, pinned ? [pin] : [], pinned ? [] : [pin]), baseOf(user));
  void agree();
  return !pinned;
}

/** Tell the server what was changed here, and learn what was changed elsewhere; one after the other. */
export function agree(): Promise<void> {
  last = last.then(async () => {
    const user = myName.value;
    if (!user) return;
    try {
      let [there, before] = [null as Values | null, 0];
      do {
        before = heard;
        there = await read(user);
      } while (before !== heard);
      if (!isUnsent(user)) {
        if (there) keep(user, newestOf(there), null);
        return;
      }
      const told = pinsIn(copies.peek()[user]?.pins);
      const stored = await store(user, there, baseOf(user), told);
      // What has been changed meanwhile comes next.
      const now = pinsIn(copies.peek()[user]?.pins);
      keep(user, changed(stored, told, now), same(now as unknown as Json, told as unknown as Json) ? null : stored);
    } catch {
      // Without a server, or where it does not permit that, they are kept here.
    }
  });
  return last;
}

/**
 * Write what made `after` of `before`. The last one who writes counts; but what another browser changed meanwhile stays.
 * Returns what counts then.
 */
async function store(user: string, there: Values | null, before: readonly Pin[], after: readonly Pin[]): Promise<readonly Pin[]> {
  let known = there;
  for (let tries = 0; ; tries++) {
    const next = known ? changed(newestOf(known), before, after) : after;
    await write(user, next, known !== null);
    const now = (await read(user)) ?? [];
    // Who writes between our reading and our writing is overwritten by us, and does not see it: so we do it again.
    const overwritten = now.at(-2)?.t !== known?.at(-1)?.t && same(now.at(-1)?.d ?? null, next as unknown as Json);
    if (!overwritten || tries === TRIES) return newestOf(now);
    known = now.slice(0, -1);
  }
}

const pathOf = (user: string): StreamPath => [user, "user", "pins"];

/** What was pinned lately: the newest value, and the one before. */
type Values = readonly Point[];

const newestOf = (values: Values): readonly Pin[] => pinsIn(values.at(-1)?.d);

/** What the server has; null: no stream for it yet. */
async function read(user: string): Promise<Values | null> {
  const path = pathOf(user);
  try {
    const stream = await readStream(path);
    if (stream.datatype !== DATATYPE) throw new Error("The person has a stream of that name, for something else.");
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
  return readPoints(path, { i1: -2 });
}

async function write(user: string, next: readonly Pin[], exists: boolean): Promise<void> {
  const path = pathOf(user);
  if (!exists) await createStream(path, FIELDS);
  await writeNewest(path, next as unknown as Json, await keyOf(path));
}

/** Show what is pinned elsewhere, and at once what will be. Returns a function that ends it. */
export function followPins(user: string): () => void {
  const path = pathOf(user).join("/");
  void agree();
  // Not only that stream: it may not be there yet.
  const all = `${user}/*/*`;
  return follow(all, ({ stream, points, corrected, begun }) => {
    if (begun || (corrected && [all, path].includes(stream))) void agree();
    if (!points.length || stream !== path) return;
    heard++;
    if (!isUnsent(user)) keep(user, pinsIn(points.at(-1)?.d), null);
  });
}

if (typeof window !== "undefined") {
  effect(() => {
    if (myName.value) void agree();
  });
  effect(() => {
    if (connection.value === "live" && isUnsent(myName.peek())) void agree();
  });
  effect(() => {
    if (session.value.state !== "nobody") return;
    // Nothing stays for who comes next, unless it would be lost.
    copies.value = Object.fromEntries(Object.entries(copies.peek()).filter(([, copy]) => copy.unsent));
  });
  window.addEventListener("online", () => void agree());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void agree();
  });
}
