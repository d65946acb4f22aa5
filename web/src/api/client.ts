/** Calls of the server's API, typed by its OpenAPI description: a path, a parameter or a field that is gone does not compile. */
import { parseJson } from "./exact";
import type { components, paths } from "./schema";

export type User = components["schemas"]["User"];
export type Device = components["schemas"]["Device"];
export type Stream = components["schemas"]["Stream"];
export type Downlink = components["schemas"]["DownlinkView"];
export type Report = components["schemas"]["InsertReport"];
type ErrorReply = components["schemas"]["ErrorReply"];

/** `bigint`: a whole number that a double cannot hold. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [key: string]: Json };

/** A datapoint, with its time in seconds since 1970. `o` is who wrote it, if not the stream's own device. */
export interface Point {
  readonly t: number;
  readonly d: Json;
  readonly o?: string;
}

type Method = "get" | "post" | "put" | "patch" | "delete";
type Operation<P extends keyof paths, M extends Method> = NonNullable<paths[P][M]>;
type PathOf<O> = O extends { parameters: { path: infer A } } ? A : never;
type QueryOf<O> = O extends { parameters: { query?: infer Q } } ? NonNullable<Q> : never;
type BodyOf<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? B : never;
type JsonOf<O> = O extends { responses: { 200: { content: { "application/json": infer J } } } } ? J : never;

interface Options<O> {
  path?: PathOf<O>;
  query?: QueryOf<O>;
  body?: BodyOf<O>;
  /** A body that is not JSON already worked out, with its content type. */
  raw?: { readonly body: BodyInit; readonly type: string };
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** A request that failed: what the server says is wrong, in words for a person. */
export class Problem extends Error {
  constructor(
    message: string,
    /** HTTP status; 0: there was no answer. */
    readonly status: number,
    readonly kind = "",
    readonly ref = "",
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }

  /** Whether the server was not reached at all, so that trying again later may help. */
  get offline(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/** Statuses that say nothing of whether the same will be taken later. */
const LATER = [0, 401, 408, 425, 429];

/**
 * Whether what was asked may have been done all the same, or be done when it is asked again: there was no answer, or it
 * is not the server's last word, or not of our server but of something in front of it.
 */
export const isUnsure = (error: unknown): boolean =>
  !(error instanceof Problem) || error.kind === "" || error.status >= 500 || LATER.includes(error.status);

/** Called when the server does not know any more who asks. */
let onSignedOut = (): void => undefined;
export function whenSignedOut(then: () => void): void {
  onSignedOut = then;
}

/** By how much the server's clock is ahead of this one, in seconds; 0 if they agree to half a minute. */
export const clock = { ahead: 0 };

function compareClocks(date: string | null): void {
  const ahead = date === null ? NaN : (Date.parse(date) - Date.now()) / 1000;
  if (!Number.isNaN(ahead)) clock.ahead = Math.abs(ahead) > 30 ? ahead : 0;
}

export async function request<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  options: Options<Operation<P, M>> = {},
): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers };
  const init: RequestInit = { method: method.toUpperCase(), headers, credentials: "same-origin" };
  if (options.signal) init.signal = options.signal;
  if (options.raw) {
    headers["Content-Type"] = options.raw.type;
    init.body = options.raw.body;
  } else if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  const response = await answer(fetch(url(path, options.path, options.query), init), options.signal);
  compareClocks(response.headers.get("date"));
  if (!response.ok) throw await problemOf(response, !("Authorization" in headers));
  // The page of a hotel's network, which answers in place of the server.
  if (response.headers.get("content-type")?.startsWith("text/html")) throw noAnswer();
  return response;
}

const noAnswer = (): Problem => new Problem("The server does not answer. Is it running, and are you connected to it?", 0);

/** What comes, whole: an answer that breaks off, or is not to be read, is none. */
async function answer<T>(coming: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await coming;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw noAnswer();
  }
}

export async function json<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  options: Options<Operation<P, M>> = {},
): Promise<JsonOf<Operation<P, M>>> {
  const response = await request(method, path, options);
  return (await answer(response.text().then(parseJson), options.signal)) as JsonOf<Operation<P, M>>;
}

export async function text<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  options: Options<Operation<P, M>> = {},
): Promise<string> {
  const response = await request(method, path, options);
  return answer(response.text(), options.signal);
}

/** The address of a call, for a link or a download. */
export function url(path: string, args?: object, query?: object): string {
  const filled = path.replace(/{(\w+)}/g, (_, name: string) => {
    const value = (args as Record<string, unknown> | undefined)?.[name];
    return encodeURIComponent(String(value));
  });
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) search.set(name, String(value));
  }
  const given = search.toString();
  return given ? `${filled}?${given}` : filled;
}

async function problemOf(response: Response, bySession: boolean): Promise<Problem> {
  let reply: Partial<ErrorReply> = {};
  try {
    reply = (await response.json()) as ErrorReply;
  } catch {
    // Not of our server: of a proxy in front of it.
  }
  if (response.status === 401 && bySession) onSignedOut();
  const message = sentence(reply.msg ?? `The server answered ${response.status} ${response.statusText}`);
  return new Problem(message, response.status, reply.error, reply.ref, reply.details ?? {});
}

/** As a sentence: with a capital and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return "Something went wrong.";
  const first = /^[a-z]+[A-Z_/'"]/.test(trimmed) ? trimmed.charAt(0) : trimmed.charAt(0).toUpperCase();
  return first + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}

/** What went wrong, for a person. */
export function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
