/**
 * What has been entered and is not on the server yet. It is kept in the browser before anything is sent, so neither a
 * lost connection nor a closed page loses it; and each entry is an upload of its own, which the server recognises when it
 * comes again, so none is stored twice.
 */
import { signal } from "@preact/signals";

import { insertPoints, newKey, parseJson, Problem, readDevice, type Json, type StreamPath } from "../api";
import { myName, session } from "./session";

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

const STORE = "connectordb.outbox";
const RETRY_MS = 15_000;

export const outbox = signal<readonly Entry[]>(read());

function read(): readonly Entry[] {
  try {
    return parseJson(localStorage.getItem(STORE) ?? "[]") as Entry[];
  } catch {
    return [];
  }
}

/** Change what is kept, as it is now: another tab may have changed it as well. */
function change(work: (entries: readonly Entry[]) => readonly Entry[]): void {
  const next = work(read());
  localStorage.setItem(STORE, JSON.stringify(next));
  outbox.value = next;
}

/** The key of the device that a stream belongs to, unless it is the one that the person is signed in as. */
export async function keyOf([user, device]: StreamPath): Promise<string> {
  const now = session.value;
  if (now.state === "user" && user === now.name && device === now.device) return "";
  return (await readDevice(user, device)).apikey ?? "";
}

export type Outcome = "sent" | "kept";

/**
 * Keep an entry, and send it. Returns `kept` if the server cannot be reached now. Throws what is wrong with it, and
 * does not keep it any longer then.
 */
export async function enter(path: StreamPath, title: string, t: number, d: Json): Promise<Outcome> {
  const entry: Entry = { id: newKey(), user: myName.value, path, title, t, d };
  change((entries) => [...entries, entry]);
  try {
    await send(entry);
  } catch (error) {
    if (error instanceof Problem && error.offline) {
      plan();
      return "kept";
    }
    change((entries) => entries.filter(({ id }) => id !== entry.id));
    throw error;
  }
  return "sent";
}

async function send(entry: Entry): Promise<void> {
  const key = await keyOf(entry.path);
  const upload = { source: entry.id, first: 1, last: 1 };
  const report = await insertPoints(entry.path, [{ t: entry.t, d: entry.d }], upload, key);
  const [refusal] = report.refused ?? [];
  if (refusal) throw new Problem(refusal.msg, 403, "refused");
  change((entries) => entries.filter(({ id }) => id !== entry.id));
}

let sending = false;
let timer: ReturnType<typeof setTimeout> | undefined;

function plan(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void flush(), RETRY_MS);
}

/** Send what waits. Returns how many entries were sent. */
export async function flush(): Promise<number> {
  if (sending || session.value.state !== "user") return 0;
  sending = true;
  let sent = 0;
  try {
    for (const entry of read()) {
      if (entry.user !== myName.value || entry.refused !== undefined) continue;
      try {
        await send(entry);
        sent++;
      } catch (error) {
        if (!(error instanceof Problem) || error.offline || error.status === 401 || error.status === 429) {
          plan();
          break;
        }
        const refused = error.message;
        change((entries) => entries.map((other) => (other.id === entry.id ? { ...other, refused } : other)));
      }
    }
  } finally {
    sending = false;
  }
  return sent;
}

export function discard(id: string): void {
  change((entries) => entries.filter((entry) => entry.id !== id));
}

if (typeof window !== "undefined") {
  window.addEventListener("online", () => void flush());
  window.addEventListener("storage", (event) => {
    if (event.key === STORE) outbox.value = read();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void flush();
  });
}
