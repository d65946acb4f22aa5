/** The calls that the pages make. */
import { json, Problem, request, text, url, type Device, type Downlink, type Json, type Point, type Report, type Stream, type User } from "./client";
import type { components, paths } from "./schema";

export * from "./client";
export { isNumber, numberOf, parseJson } from "./exact";

export type StreamFields = components["schemas"]["StreamUpdate"];
export type DeviceFields = components["schemas"]["DeviceUpdate"];
export type Correction = components["schemas"]["Correction"];
export type UserFields = components["schemas"]["UserUpdate"];

/** `[user, device, stream]`. */
export type StreamPath = readonly [user: string, device: string, stream: string];

const CRUD_USER = "/api/v1/crud/{user}";
const CRUD_DEVICE = "/api/v1/crud/{user}/{device}";
const CRUD_STREAM = "/api/v1/crud/{user}/{device}/{stream}";
const DATA = "/api/v1/crud/{user}/{device}/{stream}/data";
const DOWNLINKS = "/api/v1/downlink/{user}/{device}/{stream}";

const of = ([user, device, stream]: StreamPath) => ({ user, device, stream });

// ---- who

/** The path of the device that asks, or `nobody`. */
export const whoami = (signal?: AbortSignal): Promise<string> => text("get", "/api/v1", { query: { q: "this" }, signal });

export async function login(name: string, password: string, remember: boolean): Promise<void> {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  const encoded = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  await request("get", "/api/v1/login", { query: { remember }, headers: { Authorization: `Basic ${encoded}` } });
}

export const logout = (): Promise<string> => text("get", "/api/v1/logout");
export const readSetup = () => json("get", "/api/v1/setup");
export const setUp = (body: components["schemas"]["Setup"]): Promise<string> => text("post", "/api/v1/setup", { body });

// ---- users, devices, streams

export const listUsers = (signal?: AbortSignal): Promise<readonly User[]> =>
  json("get", "/api/v1/crud", { query: { q: "ls" }, signal });

export const readUser = async (user: string, signal?: AbortSignal): Promise<User> =>
  (await json("get", CRUD_USER, { path: { user }, signal })) as User;

export const createUser = (user: string, body: components["schemas"]["UserCreate"]): Promise<User> =>
  json("post", CRUD_USER, { path: { user }, body });

export const updateUser = (user: string, body: UserFields): Promise<User> =>
  json("put", CRUD_USER, { path: { user }, body });

export const deleteUser = (user: string): Promise<string> => text("delete", CRUD_USER, { path: { user } });

export const listDevices = async (user: string, signal?: AbortSignal): Promise<readonly Device[]> =>
  (await json("get", CRUD_USER, { path: { user }, query: { q: "devices" }, signal })) as readonly Device[];

/** The streams of all devices of a user; each with the name of its device. */
export const listUserStreams = async (
  user: string,
  signal?: AbortSignal,
  options: { readonly downlink?: boolean; readonly newest?: boolean } = {},
): Promise<readonly Stream[]> =>
  (await json("get", CRUD_USER, { path: { user }, query: { q: "streams", ...options }, signal })) as readonly Stream[];

export const readDevice = async (user: string, device: string, signal?: AbortSignal): Promise<Device> =>
  (await json("get", CRUD_DEVICE, { path: { user, device }, signal })) as Device;

export const createDevice = (
  user: string,
  device: string,
  body: components["schemas"]["DeviceCreate"],
): Promise<Device> => json("post", CRUD_DEVICE, { path: { user, device }, body });

export const updateDevice = (user: string, device: string, body: DeviceFields): Promise<Device> =>
  json("put", CRUD_DEVICE, { path: { user, device }, body });

export const deleteDevice = (user: string, device: string): Promise<string> =>
  text("delete", CRUD_DEVICE, { path: { user, device } });

export const listStreams = async (user: string, device: string, signal?: AbortSignal): Promise<readonly Stream[]> =>
  (await json("get", CRUD_DEVICE, { path: { user, device }, query: { q: "streams" }, signal })) as readonly Stream[];

export const readStream = async (path: StreamPath, signal?: AbortSignal): Promise<Stream> =>
  json("get", CRUD_STREAM, { path: of(path), signal });

export const createStream = (path: StreamPath, body: components["schemas"]["StreamCreate"]): Promise<Stream> =>
  json("post", CRUD_STREAM, { path: of(path), body });

export const updateStream = (path: StreamPath, body: StreamFields): Promise<Stream> =>
  json("put", CRUD_STREAM, { path: of(path), body });

export const deleteStream = (path: StreamPath): Promise<string> => text("delete", CRUD_STREAM, { path: of(path) });

// ---- datapoints

export interface Range {
  readonly i1?: number;
  readonly i2?: number;
  readonly t1?: number;
  readonly t2?: number;
  readonly limit?: number;
  readonly points?: number;
  readonly every?: string;
  readonly stat?: string;
  readonly zone?: string;
  readonly transform?: string;
  readonly downlink?: boolean;
}

/** A little less than any distance between time stamps that can be stored. */
export const EPSILON_S = 1e-6;

interface Times {
  readonly t1: number;
  readonly t2: number;
}

/** From `t1` to `t2` as the API has it, to which the first moment does not belong, and 0 is no bound. */
export const queried = ({ t1, t2 }: Times): Times => ({ t1: Math.max(0, t1 - EPSILON_S), t2: Math.max(t2, EPSILON_S) });

export type Format = "json" | "ndjson" | "csv" | "parquet";

/** Datapoints as the API sends them: `t` is left out where it is 0, and `d` where it is null. */
type Sent = Partial<Point>;

export async function readPoints(path: StreamPath, range: Range, signal?: AbortSignal): Promise<Point[]> {
  const points = (await json("get", DATA, { path: of(path), query: range, signal })) as unknown as readonly Sent[];
  return points.map(pointOf);
}

export function pointOf(sent: Sent): Point {
  const point = { t: sent.t ?? 0, d: sent.d ?? null };
  return sent.o === undefined ? point : { ...point, o: sent.o };
}

export async function countPoints(path: StreamPath, downlink = false, signal?: AbortSignal): Promise<number> {
  return Number(await text("get", DATA, { path: of(path), query: { q: "length", downlink }, signal }));
}

/** The index of the first datapoint after the time `t`. */
export async function indexAt(path: StreamPath, t: number, signal?: AbortSignal): Promise<number> {
  return Number(await text("get", DATA, { path: of(path), query: { q: "time2index", t }, signal }));
}

export const downloadUrl = (path: StreamPath, range: Range, format: Format): string =>
  url(DATA, of(path), { ...range, format });

/** Who numbers an upload, so that repeating it does nothing, however much later. */
export interface Upload {
  readonly source: string;
  readonly first: number;
  readonly last: number;
}

/**
 * Insert where the time says that it belongs. A user may not write to the streams of other devices than `user`, but
 * knows their keys: with `apikey` it is the device itself that writes. It can be repeated: either it is numbered, or what
 * is stored already is left out.
 */
export async function insertPoints(
  path: StreamPath,
  points: readonly { readonly t?: number; readonly d: Json }[],
  repeatable: Upload | { readonly duplicates: "skip" },
  apikey = "",
  signal?: AbortSignal,
): Promise<Report> {
  const report: unknown = await json("patch", DATA, {
    path: of(path),
    query: { ...repeatable, verdicts: true },
    body: points,
    headers: apikey ? { Authorization: `Basic ${btoa(`:${apikey}`)}` } : {},
    signal,
  });
  return report as Report;
}

/** Insert a value as the newest one, whatever clocks say. */
export async function writeNewest(path: StreamPath, d: Json, apikey = ""): Promise<void> {
  await request("put", DATA, {
    path: of(path),
    body: [{ d }],
    headers: apikey ? { Authorization: `Basic ${btoa(`:${apikey}`)}` } : {},
  });
}

export type DatasetQuery = paths["/api/v1/query/dataset"]["post"]["requestBody"]["content"]["application/json"];
export type MergeQuery = paths["/api/v1/query/merge"]["post"]["requestBody"]["content"]["application/json"];

export async function queryDataset(body: DatasetQuery, signal?: AbortSignal): Promise<Point[]> {
  const points = (await json("post", "/api/v1/query/dataset", { body, signal })) as unknown as readonly Sent[];
  return points.map(pointOf);
}

export async function queryMerge(body: MergeQuery, signal?: AbortSignal): Promise<Point[]> {
  const points = (await json("post", "/api/v1/query/merge", { body, signal })) as unknown as readonly Sent[];
  return points.map(pointOf);
}

// ---- corrections

/** A longer value, as JSON, is not sent to be compared: the address of a request has no room for it. */
const WAS_MAX = 5000;

const meant = ({ t, d }: Point): { readonly t: number; readonly was?: string } => {
  const was = JSON.stringify(d);
  return was.length > WAS_MAX ? { t } : { t, was };
};

/** Send what is safe to be repeated with the same key, a second time if no answer comes. */
async function keyed<T>(send: (headers: Record<string, string>) => Promise<T>): Promise<T> {
  const headers = { "Idempotency-Key": newKey() };
  try {
    return await send(headers);
  } catch (error) {
    if (error instanceof Problem && error.offline) return send(headers);
    throw error;
  }
}

/** Delete the datapoint at index `i`, if that is `point`; otherwise it is a 409. */
export const deletePoint = (path: StreamPath, i: number, point: Point): Promise<Correction> =>
  keyed((headers) => json("delete", DATA, { path: of(path), query: { i1: i, i2: i + 1, ...meant(point) }, headers }));

/** Give the datapoint at index `i` the value `d`, if it is `point`; otherwise it is a 409. */
export const updatePoint = (path: StreamPath, i: number, point: Point, d: Json, why: string): Promise<Correction> => {
  const { t, was } = meant(point);
  const body = was === undefined ? { d, why, t } : { d, why, t, was: point.d };
  return keyed((headers) => json("put", `${CRUD_STREAM}/datapoint`, { path: of(path), query: { i }, body, headers }));
};

export const undoCorrection = (path: StreamPath, correction: number): Promise<Correction> =>
  keyed((headers) => json("post", `${CRUD_STREAM}/undo`, { path: of(path), query: { correction }, headers }));

/** The corrections of a stream, newest first. */
export const listCorrections = (path: StreamPath, limit: number, signal?: AbortSignal): Promise<readonly Correction[]> =>
  json("get", `${CRUD_STREAM}/history`, { path: of(path), query: { limit }, signal });

const CORRECTED = `${CRUD_STREAM}/history/{correction}` as const;

/** What was there before a correction. */
export async function readCorrected(path: StreamPath, correction: number, signal?: AbortSignal): Promise<Point[]> {
  const points = (await json("get", CORRECTED, { path: { ...of(path), correction }, signal })) as unknown as readonly Sent[];
  return points.map(pointOf);
}

export const correctedUrl = (path: StreamPath, correction: number, format: Format): string =>
  url(CORRECTED, { ...of(path), correction }, { format });

// ---- downlinks

export const sendDownlink = (
  path: StreamPath,
  d: Json,
  options: { expires?: number; supersede?: boolean; key: string },
): Promise<Downlink> =>
  json("post", DOWNLINKS, {
    path: of(path),
    body: { d: d, expires: options.expires ?? null, supersede: options.supersede ?? false },
    headers: { "Idempotency-Key": options.key },
  });

/** Whether one may give commands to the stream: giving none at all is refused to who may not. */
export async function maySend(path: StreamPath, signal?: AbortSignal): Promise<boolean> {
  try {
    await request("put", DATA, { path: of(path), query: { downlink: true }, body: [], signal });
    return true;
  } catch (error) {
    if (error instanceof Problem && error.status === 403) return false;
    throw error;
  }
}

export const listDownlinks = (path: StreamPath, limit: number, signal?: AbortSignal): Promise<readonly Downlink[]> =>
  json("get", DOWNLINKS, { path: of(path), query: { limit }, signal });

export const readDownlink = (path: StreamPath, id: number, wait: number, signal?: AbortSignal): Promise<Downlink> =>
  json("get", "/api/v1/downlink/{user}/{device}/{stream}/{downlink}", {
    path: { ...of(path), downlink: id },
    query: { wait },
    signal,
  });

// ---- what the server can do

export const readVersion = (): Promise<string> => text("get", "/api/v1/meta/version");

/** A key under which a request can be repeated without being carried out twice. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
