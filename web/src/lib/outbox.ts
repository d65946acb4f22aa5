/**
 * What has been entered and is not on the server yet. It is kept in the browser before anything is sent, so neither a
 * lost connection nor a closed page loses it; and each entry is an upload of its own, which the server recognises when it
 * comes again, so none is stored twice.
 */
import { signal } from "@preact/signals";

import { insertPoints, isUnsure, newKey, parseJson, Problem, readDevice, type Json, type StreamPath } from "../api";
import { valueFault } from "./schema";
import { checkSession, myName, session } from "./session";

export interface Entry {
  readonly id: string;
  readonly user: string;
  readonly path: StreamPath;
  readonly title: string;
  readonly t: number;
  readonly d: Json;
  /** Why the server does not take it; it stays here until the person has seen that. */
  readonly refused?: string;
}

const ENTRY = {
  type: "object",
  required: ["id", "user", "path", "title", "t", "d"],
  properties: {
    id: { type: "string" },
    user: { type: "string" },
    path: { type: "array", items: { type: "string" }, minItems: 3, maxItems: 3 },
    title: { type: "string" },
    t: { type: "number" },
    refused: { type: "string" },
  },
};

/** Each entry has a place of its own: two pages that write at the same time do not overwrite each other's. */
const STORE = "connectordb.outbox.";
const RETRY_MS = 15_000;
/** A request that hangs must not hold up all that wait behind it. */
const PATIENCE_MS = 20_000;

export const outbox = signal<readonly Entry[]>(read());

function read(): readonly Entry[] {
  const found: Entry[] = [];
  try {
    for (let i = 0; i < localStorage.length; i++) {
      const entry = readOne(localStorage.key(i) ?? "");
      if (entry) found.push(entry);
    }
  } catch {
    // The browser keeps nothing for us.
  }
  return found.sort((a, b) => a.t - b.t);
}

function readOne(place: string): Entry | null {
  if (!place.startsWith(STORE)) return null;
  try {
    const value = parseJson(localStorage.getItem(place) ?? "null") as Json;
    return valueFault(value, ENTRY) === null ? (value as unknown as Entry) : null;
  } catch {
    return null;
  }
}

/** Whether there was a place for it. */
function keep(entry: Entry): boolean {
  try {
    localStorage.setItem(STORE + entry.id, JSON.stringify(entry));
  } catch {
    return false;
  }
  outbox.value = read();
  return true;
}

export function discard(id: string): void {
  try {
    localStorage.removeItem(STORE + id);
  } catch {
    // Nor is it there then.
  }
  outbox.value = read();
}

/** The key of the device that a stream belongs to, unless it is the one that the person is signed in as. */
export async function keyOf([user, device]: StreamPath, signal?: AbortSignal): Promise<string> {
  const now = session.value;
  if (now.state === "user" && user === now.name && device === now.device) return "";
  return (await readDevice(user, device, signal)).apikey ?? "";
}

export type Outcome = "sent" | "kept";

/**
 * Keep an entry, and send it. Returns `kept` if it may have to be sent again. Throws what is wrong with it, and does not
 * keep it any longer then.
 */
export async function enter(path: StreamPath, title: string, t: number, d: Json): Promise<Outcome> {
  const entry: Entry = { id: newKey(), user: myName.value, path, title, t, d };
  const kept = keep(entry);
  try {
    await send(entry);
  } catch (error) {
    const final = await isFinal(error, entry);
    if (!final && kept) {
      plan();
      return "kept";
    }
    discard(entry.id);
    if (final) throw error;
    throw new Error("The server does not answer, and this browser could not keep it either. See whether it has arrived before you enter it again.");
  }
  return "sent";
}

async function send(entry: Entry): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const key = await keyOf(entry.path, signal);
  const upload = { source: entry.id, first: 1, last: 1 };
  const report = await insertPoints(entry.path, [{ t: entry.t, d: entry.d }], upload, key, signal);
  const [refusal] = report.refused ?? [];
  if (refusal) throw new Problem(refusal.msg, 403, "refused");
  discard(entry.id);
}

/** Whether that is the server's last word. It tells a stranger the same as of a stream that is not there. */
async function isFinal(error: unknown, entry: Entry): Promise<boolean> {
  if (isUnsure(error)) return false;
  if (!(error instanceof Problem && [403, 404].includes(error.status))) return true;
  return checkSession(AbortSignal.timeout(PATIENCE_MS)).then(
    () => entry.user === myName.value,
    () => false,
  );
}

let sending = false;
let timer: ReturnType<typeof setTimeout> | undefined;

function plan(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void flush(), RETRY_MS);
}

/** Send what waits; with `all`, what was refused as well. Returns how many entries were sent. */
export async function flush(all = false): Promise<number> {
  if (sending) return 0;
  sending = true;
  let sent = 0;
  try {
    for (const entry of read()) {
      if (entry.user !== myName.value || (entry.refused !== undefined && !all)) continue;
      try {
        await send(entry);
        sent++;
      } catch (error) {
        if (!(await isFinal(error, entry))) {
          plan();
          break;
        }
        if (readOne(STORE + entry.id)) keep({ ...entry, refused: (error as Problem).message });
      }
    }
  } finally {
    sending = false;
  }
  return sent;
}

if (typeof window !== "undefined") {
  window.addEventListener("online", () => void flush());
  window.addEventListener("storage", (event) => {
    if (event.key === null || event.key.startsWith(STORE)) outbox.value = read();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void flush();
  });
}
