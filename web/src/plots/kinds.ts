/** What can be shown of a stream: found out from its schema and from its newest values. */
import { isNumber, type Json, type Point, type Stream } from "../api";
import { isObject, parseSchema, typesOf, type Schema } from "../lib/schema";

export type View = "line" | "timeline" | "histogram" | "bars" | "calendar" | "scatter" | "map" | "table" | "number" | "json";

export const VIEW_NAMES: Readonly<Record<View, string>> = {
  line: "Line",
  timeline: "Timeline",
  histogram: "Histogram",
  bars: "Bars",
  calendar: "Calendar",
  scatter: "Scatter",
  map: "Map",
  table: "Table",
  number: "Number",
  json: "JSON",
};

/** What the values are, on the whole. */
export type Kind = "number" | "boolean" | "state" | "text" | "place" | "pair" | "object" | "mixed" | "none";

export interface Nature {
  readonly kind: Kind;
  /** Of objects: the fields that hold numbers, and those that hold something else. */
  readonly numbers: readonly string[];
  readonly others: readonly string[];
}

const STATES_MAX = 30;

/** What the values of a stream are: `recent` are the newest ones. */
export function natureOf(stream: Stream, recent: readonly Point[]): Nature {
  const schema = parseSchema(stream.schema);
  const values = recent.map((point) => point.d).filter((value) => value !== null);
  const kinds = new Set(values.map(kindOf));
  const [only] = kinds;
  if (values.length && values.every((value) => Array.isArray(value) && placeOf(value))) {
    // Two numbers may be anything: a place at once only where the stream says so.
    return { kind: (stream.datatype ?? "").startsWith("location") ? "place" : "pair", numbers: [], others: [] };
  }
  if (kinds.size === 1 && only !== undefined) return refine(only, values);
  if (kinds.size > 1) return { kind: "mixed", numbers: [], others: [] };
  return fromSchema(schema);
}

function kindOf(value: Json): Kind {
  if (isNumber(value)) return "number";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "string") return "text";
  return isObject(value) ? "object" : "mixed";
}

function refine(kind: Kind, values: readonly Json[]): Nature {
  if (kind === "text") {
    const different = new Set(values);
    const short = values.every((value) => typeof value === "string" && value.length <= 60);
    const state = short && different.size <= STATES_MAX && (different.size <= 6 || different.size * 3 <= values.length);
    return { kind: state ? "state" : "text", numbers: [], others: [] };
  }
  if (kind !== "object") return { kind, numbers: [], others: [] };
  const fields = new Map<string, Set<string>>();
  for (const value of values) {
    if (!isObject(value)) continue;
    for (const [name, part] of Object.entries(value)) {
      if (part === null) continue;
      const types = fields.get(name) ?? new Set();
      fields.set(name, types.add(typeof part === "bigint" ? "number" : typeof part));
    }
  }
  const pure = (type: string): string[] => [...fields].filter(([, t]) => t.size === 1 && t.has(type)).map(([name]) => name);
  const numbers = pure("number");
  const others = [...fields.keys()].filter((name) => !numbers.includes(name));
  return { kind: isPlace(numbers) ? "place" : "object", numbers, others };
}

/** Names that the degrees of a place go by. */
const DEGREES = [
  ["latitude", "longitude"],
  ["lat", "lon"],
  ["lat", "lng"],
] as const;

const isPlace = (names: readonly string[]): boolean => DEGREES.some((pair) => pair.every((name) => names.includes(name)));

/** Where a value says that something is: an object with its degrees, or a list that begins with them. */
export function placeOf(value: Json): { readonly lat: number; readonly lon: number } | null {
  const pairs = Array.isArray(value)
    ? [value as readonly Json[]]
    : isObject(value)
      ? DEGREES.map(([lat, lon]) => [value[lat], value[lon]] as const)
      : [];
  for (const [lat, lon, ...rest] of pairs) {
    if (typeof lat !== "number" || typeof lon !== "number" || rest.length > 1) continue;
    if (Math.abs(lat) <= 85 && Math.abs(lon) <= 180) return { lat, lon };
  }
  return null;
}

function fromSchema(schema: Schema): Nature {
  const none = { numbers: [], others: [] };
  const [type] = typesOf(schema);
  if (Array.isArray(schema["enum"])) return { kind: "state", ...none };
  if (type === "number" || type === "integer") return { kind: "number", ...none };
  if (type === "boolean") return { kind: "boolean", ...none };
  if (type === "string") return { kind: "text", ...none };
  if (type === "object" && isObject(schema["properties"])) {
    const numbers: string[] = [];
    const others: string[] = [];
    for (const [name, part] of Object.entries(schema["properties"])) {
      const [partType] = isObject(part) ? typesOf(part) : [];
      (partType === "number" || partType === "integer" ? numbers : others).push(name);
    }
    return { kind: isPlace(numbers) ? "place" : "object", numbers, others };
  }
  return { kind: "none", ...none };
}

/** What can be shown, the most telling first. With a field of objects or a transform, `nature` is that of its outcome. */
export function viewsOf({ kind }: Nature): View[] {
  switch (kind) {
    case "number":
      return ["line", "number", "histogram", "calendar", "bars", "scatter", "table", "json"];
    case "boolean":
      return ["timeline", "bars", "calendar", "table", "number", "json"];
    case "state":
      return ["timeline", "bars", "calendar", "table", "json"];
    case "place":
      return ["map", "calendar", "table", "json"];
    case "pair":
      return ["table", "map", "calendar", "json"];
    case "object":
      return ["table", "calendar", "json"];
    case "text":
      return ["table", "calendar", "bars", "json"];
    default:
      return ["table", "json", "calendar", "bars", "line"];
  }
}

/** The transform that takes one field of objects. */
export const fieldScript = (name: string): string => `$[${JSON.stringify(name)}]`;

/** A value in a table, in one line. */
export function valueText(value: Json | undefined, longest = 200): string {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value : (JSON.stringify(value) as string | undefined) ?? "";
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/** A number with as many digits as are of interest. */
export function numberText(value: number | bigint): string {
  if (typeof value === "bigint") return value.toLocaleString("en");
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e9)) return value.toExponential(3);
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}
