/**
 * What is written while one looks: one websocket for all that the pages follow. After an interruption each goes on at
 * its cursor, so nothing is missing and nothing comes twice; what has too many cursors for that begins anew.
 */
import { signal } from "@preact/signals";

import { parseJson, pointOf, type Point } from "../api";
import { checkSession, myName } from "./session";

export interface Batch {
  /** Path of the stream, with `/downlink` behind it for the downlink; what is followed where it is about all of that. */
  readonly stream: string;
  readonly points: readonly Point[];
  /** What was there before has been corrected, or may have been, from `t1` to `t2`. */
  readonly corrected?: { readonly t1: number; readonly t2: number };
  /** From now on all is told. What was written since the page has read what there is, it has to look for. */
  readonly begun?: true;
}

type Listener = (batch: Batch) => void;

interface Wish {
  readonly arg: string;
  readonly listeners: Set<Listener>;
  /** Where it is, of each stream. */
  cursor: string | undefined;
  cursors: Record<string, string>;
  /** It has been answered before. */
  begun: boolean;
  /** It was asked to go on where it was. */
  resumes: boolean;
  ended: boolean;
}

interface Message {
  readonly id?: number;
  readonly ok?: boolean;
  readonly cursor?: string;
  readonly cursors?: Readonly<Record<string, string>>;
  readonly stream?: string;
  readonly arg?: string;
  readonly notice?: string;
  readonly data?: readonly Partial<Point>[];
  readonly correction?: { readonly t1?: number; readonly t2?: number };
}

/** `live`: what is written comes at once. `waiting`: there is no connection; what is missed comes later. */
export const connection = signal<"off" | "waiting" | "live">("off");

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const LINGER_MS = 2000;
/** The server takes messages of 1 MiB: with the cursors of tens of thousands of streams it would close the connection. */
const CURSORS_LONGEST = 500_000;
/** The code with which the server closes when the session has been ended. */
const FORBIDDEN = 1008;

const wishes = new Map<string, Wish>();
const asked = new Map<number, Wish>();
let socket: WebSocket | null = null;
let lastId = 0;
let waitMs = FIRST_WAIT_MS;
let timer: ReturnType<typeof setTimeout> | undefined;

/**
 * Call `listener` with what is written to `arg`: a stream `user/device/stream`, or all of a user, as `user/*\/*`.
 * Returns a function that ends it.
 */
export function follow(arg: string, listener: Listener): () => void {
  let wish = wishes.get(arg);
  if (wish === undefined) {
    wish = { arg, listeners: new Set(), cursor: undefined, cursors: {}, begun: false, resumes: false, ended: false };
    wishes.set(arg, wish);
    if (socket?.readyState === WebSocket.OPEN) subscribe(wish);
  }
  const found = wish;
  found.listeners.add(listener);
  if (socket === null) connect();
  return () => {
    found.listeners.delete(listener);
    // A page that is gone to from another one often follows the same.
    setTimeout(() => {
      if (found.listeners.size || wishes.get(arg) !== found) return;
      wishes.delete(arg);
      if (socket?.readyState === WebSocket.OPEN) say({ cmd: "unsubscribe", arg });
      if (!wishes.size) stop();
    }, LINGER_MS);
  };
}

function connect(): void {
  clearTimeout(timer);
  const scheme = window.location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${window.location.host}/api/v1/websocket`);
  socket = opened;
  if (connection.value === "off") connection.value = "waiting";
  opened.onopen = () => {
    connection.value = "live";
    asked.clear();
    for (const wish of wishes.values()) subscribe(wish);
  };
  opened.onmessage = (event) => take(parseJson(String(event.data)) as Message);
  opened.onclose = ({ code }) => {
    if (socket !== opened) return;
    connection.value = "waiting";
    if (code === FORBIDDEN) void checkSession().catch(() => undefined);
    const spread = waitMs * (0.8 + 0.4 * Math.random());
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
    timer = setTimeout(connect, spread);
  };
}

function stop(): void {
  const closed = socket;
  socket = null;
  clearTimeout(timer);
  connection.value = "off";
  closed?.close();
}

function subscribe(wish: Wish): void {
  if (wish.ended) return;
  const id = ++lastId;
  asked.set(id, wish);
  if (JSON.stringify(wish.cursors).length > CURSORS_LONGEST) wish.cursors = {};
  const from =
    Object.keys(wish.cursors).length > 0 ? { cursors: wish.cursors } : wish.cursor !== undefined ? { cursor: wish.cursor } : {};
  wish.resumes = Object.keys(from).length > 0;
  say({ cmd: "subscribe", arg: wish.arg, id, ...from });
}

function tell(wish: Wish, batch: Batch): void {
  for (const listener of [...wish.listeners]) listener(batch);
}

function say(command: object): void {
  socket?.send(JSON.stringify(command));
}

function take(message: Message): void {
  if (message.id !== undefined) {
    const wish = asked.get(message.id);
    asked.delete(message.id);
    if (wish === undefined) return;
    waitMs = FIRST_WAIT_MS;
    if (message.ok === true) {
      if (!wish.resumes) tell(wish, { stream: wish.arg, points: [], begun: true });
      // Of corrections that were made while there was no connection nobody tells.
      if (wish.begun) tell(wish, { stream: wish.arg, points: [], corrected: { t1: -Infinity, t2: Infinity } });
      wish.begun = true;
      wish.cursor ??= message.cursor;
      for (const [stream, cursor] of Object.entries(message.cursors ?? {})) wish.cursors[stream] ??= cursor;
    } else {
      wish.ended = true;
      void checkSession().catch(() => undefined);
    }
    return;
  }
  const { stream } = message;
  if (stream === undefined) return;
  const wish = wishes.get(message.arg ?? stream);
  if (wish === undefined) return;
  if (message.cursor !== undefined) {
    if (message.arg === undefined) wish.cursor = message.cursor;
    else wish.cursors[stream] = message.cursor;
  }
  if (message.notice === "ended" && message.arg === undefined) wish.ended = true;
  if (message.data?.length) tell(wish, { stream, points: message.data.map(pointOf) });
  if (message.notice === "corrected") {
    const { t1 = 0, t2 = 0 } = message.correction ?? {};
    tell(wish, { stream, points: [], corrected: { t1, t2 } });
  }
}

// The next person gets a connection of their own, not that of the one before.
myName.subscribe(() => {
  wishes.clear();
  stop();
});

if (typeof window !== "undefined") {
  // Who comes back to the page, or gets a network again, does not wait any longer.
  const hurry = (): void => {
    if (socket?.readyState === WebSocket.CLOSED && document.visibilityState === "visible") {
      waitMs = FIRST_WAIT_MS;
      connect();
    }
  };
  window.addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
}
