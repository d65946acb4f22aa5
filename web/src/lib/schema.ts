/**
 * JSON Schema, draft 4, as far as it matters while somebody types: what is wrong with a schema, and with a value. The
 * server has the last word on both.
 */
import type { Json } from "../api/client";
import { isNumber } from "../api/exact";

export type Schema = { readonly [key: string]: Json };

const TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"] as const;
export type Type = (typeof TYPES)[number];

export const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** The schema in `text`; an empty one, which anything fits, if there is none or it cannot be read. */
export function parseSchema(text: string | undefined): Schema {
  try {
    const found = JSON.parse(text || "{}") as Json;
    return isObject(found) ? found : {};
  } catch {
    return {};
  }
}

// ---- what is wrong with a schema

type Rule = (value: Json) => string | null;
const number: Rule = (v) => (typeof v === "number" ? null : "has to be a number");
const count: Rule = (v) => (typeof v === "number" && Number.isInteger(v) && v >= 0 ? null : "has to be a whole number, 0 or more");
const bool: Rule = (v) => (typeof v === "boolean" ? null : "has to be true or false");
const string: Rule = (v) => (typeof v === "string" ? null : "has to be a text");
const list: Rule = (v) => (isList(v) && v.length > 0 ? null : "has to be a list with something in it");
const names: Rule = (v) =>
  isList(v) && v.length > 0 && v.every((name) => typeof name === "string") ? null : "has to be a list of names";
const pattern: Rule = (v) => {
  if (typeof v !== "string") return "has to be a text";
  try {
    new RegExp(v, "u");
    return null;
  } catch {
    return "is no regular expression";
  }
};
const type: Rule = (v) => {
  const wrong = (isList(v) ? v : [v]).find((name) => !TYPES.includes(name as Type));
  return wrong === undefined ? null : `cannot be ${JSON.stringify(wrong)}: there are ${TYPES.join(", ")}`;
};

const RULES: Readonly<Record<string, Rule>> = {
  type,
  enum: list,
  minimum: number,
  maximum: number,
  exclusiveMinimum: bool,
  exclusiveMaximum: bool,
  multipleOf: (v) => (typeof v === "number" && v > 0 ? null : "has to be a number above 0"),
  minLength: count,
  maxLength: count,
  minItems: count,
  maxItems: count,
  minProperties: count,
  maxProperties: count,
  uniqueItems: bool,
  required: names,
  pattern,
  title: string,
  description: string,
};

/** What is wrong with the schema in `text`, in words; null if nothing that can be seen from here. */
export function schemaFault(text: string): string | null {
  if (!text.trim()) return null;
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    return `This is no JSON: ${placeOf(error, text)}`;
  }
  return faultIn(value, "");
}

function faultIn(schema: Json, at: string): string | null {
  const where = at ? `In ${at}: ` : "";
  if (!isObject(schema)) return `${where}a schema is an object, as in {"type": "number"}.`;
  for (const [key, value] of Object.entries(schema)) {
    const fault = RULES[key]?.(value);
    if (fault) return `${where}“${key}” ${fault}.`;
    const below = at ? `${at}.${key}` : key;
    if (key === "properties" || key === "patternProperties" || key === "definitions") {
      if (!isObject(value)) return `${where}“${key}” has to be an object.`;
      for (const [name, part] of Object.entries(value)) {
        const found = faultIn(part, `${below}.${name}`);
        if (found) return found;
      }
    } else if (key === "items" || key === "not" || (key === "additionalProperties" && typeof value !== "boolean")) {
      for (const part of key === "items" && isList(value) ? value : [value]) {
        const found = faultIn(part, below);
        if (found) return found;
      }
    } else if (["anyOf", "oneOf", "allOf"].includes(key)) {
      const fault = list(value);
      if (fault) return `${where}“${key}” ${fault}.`;
      for (const part of value as readonly Json[]) {
        const found = faultIn(part, below);
        if (found) return found;
      }
    }
  }
  return null;
}

/** What the parser says of `text`, with the line instead of a position. */
function placeOf(error: unknown, text: string): string {
  const message = error instanceof Error ? error.message : String(error);
  const position = /position (\d+)/.exec(message)?.[1];
  if (position === undefined) return message;
  const before = text.slice(0, Number(position)).split("\n");
  return `something is wrong in line ${before.length}, at character ${(before.at(-1) ?? "").length + 1}.`;
}

// ---- what is wrong with a value

export function typeOf(value: Json): Type {
  if (value === null) return "null";
  if (isList(value)) return "array";
  if (typeof value === "bigint") return "integer";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value as "boolean" | "string" | "object";
}

const TYPE_WORDS: Readonly<Record<Type, string>> = {
  array: "a list",
  boolean: "yes or no",
  integer: "a whole number",
  null: "nothing",
  number: "a number",
  object: "an object",
  string: "a text",
};

/** What is wrong with `value`, in words; null if it fits. */
export function valueFault(value: Json, schema: Schema): string | null {
  const types = typesOf(schema);
  const own = typeOf(value);
  if (types.length && !types.includes(own) && !(own === "integer" && types.includes("number")))
    return `It has to be ${types.map((name) => TYPE_WORDS[name]).join(" or ")}.`;
  if (isList(schema["enum"]) && !schema["enum"].some((choice) => same(choice, value)))
    return `It has to be one of ${schema["enum"].map((choice) => JSON.stringify(choice)).join(", ")}.`;
  const fault =
    isNumber(value)
      ? numberFault(value, schema)
      : typeof value === "string"
        ? textFault(value, schema)
        : isList(value)
          ? listFault(value, schema)
          : isObject(value)
            ? objectFault(value, schema)
            : null;
  return fault ?? combinedFault(value, schema);
}

/** The types that the schema allows; none named: all. */
export function typesOf(schema: Schema): Type[] {
  const named = schema["type"];
  return (isList(named) ? named : named === undefined ? [] : [named]) as Type[];
}

function numberFault(value: number | bigint, schema: Schema): string | null {
  const { minimum, maximum, multipleOf } = schema;
  if (typeof minimum === "number" && (schema["exclusiveMinimum"] === true ? value <= minimum : value < minimum))
    return `It has to be ${schema["exclusiveMinimum"] === true ? "above" : "at least"} ${minimum}.`;
  if (typeof maximum === "number" && (schema["exclusiveMaximum"] === true ? value >= maximum : value > maximum))
    return `It has to be ${schema["exclusiveMaximum"] === true ? "below" : "at most"} ${maximum}.`;
  if (typeof multipleOf === "number") {
    const times = Number(value) / multipleOf;
    if (Math.abs(times - Math.round(times)) > 1e-9 * Math.max(1, Math.abs(times))) return `It has to be a multiple of ${multipleOf}.`;
  }
  return null;
}

const MATCHED_MAX = 20;
const REPEATED_GROUP = /\)[*+{]/;

function textFault(value: string, schema: Schema): string | null {
  const length = Array.from(value).length;
  const { minLength, maxLength } = schema;
  if (typeof minLength === "number" && length < minLength)
    return minLength === 1 ? "It must not be empty." : `It has to have at least ${minLength} characters.`;
  if (typeof maxLength === "number" && length > maxLength) return `It has to have at most ${maxLength} characters; it has ${length}.`;
  // Some patterns take longer than anybody waits; the server knows those, and when to stop.
  if (typeof schema["pattern"] === "string" && length <= MATCHED_MAX && !REPEATED_GROUP.test(schema["pattern"])) {
    try {
      if (!new RegExp(schema["pattern"], "u").test(value)) return `It has to match the pattern ${schema["pattern"]}.`;
    } catch {
      // The server knows it.
    }
  }
  return null;
}

function listFault(value: readonly Json[], schema: Schema): string | null {
  const { minItems, maxItems, items } = schema;
  if (typeof minItems === "number" && value.length < minItems) return `It needs at least ${minItems} entries.`;
  if (typeof maxItems === "number" && value.length > maxItems) return `It may have at most ${maxItems} entries.`;
  if (schema["uniqueItems"] === true && new Set(value.map((item) => JSON.stringify(item))).size < value.length)
    return "No entry may come twice.";
  if (isObject(items)) {
    for (const [i, item] of value.entries()) {
      const fault = valueFault(item, items);
      if (fault) return `Entry ${i + 1}: ${fault}`;
    }
  }
  return null;
}

function objectFault(value: { readonly [key: string]: Json }, schema: Schema): string | null {
  const parts = isObject(schema["properties"]) ? schema["properties"] : {};
  for (const name of isList(schema["required"]) ? schema["required"] : []) {
    if (typeof name === "string" && !(name in value)) return `“${name}” is missing.`;
  }
  for (const [name, part] of Object.entries(value)) {
    const rule = parts[name] ?? schema["additionalProperties"];
    if (isObject(rule)) {
      const fault = valueFault(part, rule);
      if (fault) return `“${name}”: ${fault}`;
    } else if (schema["additionalProperties"] === false) return `“${name}” is not foreseen.`;
  }
  return null;
}

function combinedFault(value: Json, schema: Schema): string | null {
  const all = (key: string): Schema[] => {
    const parts = schema[key];
    return isList(parts) ? parts.filter(isObject) : [];
  };
  for (const part of all("allOf")) {
    const fault = valueFault(value, part);
    if (fault) return fault;
  }
  const any = all("anyOf");
  if (any.length && any.every((part) => valueFault(value, part) !== null)) return "It fits none of what is allowed.";
  const one = all("oneOf");
  if (one.length && one.filter((part) => valueFault(value, part) === null).length !== 1)
    return "It has to fit just one of what is allowed.";
  return null;
}

export const same = (a: Json, b: Json): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

/** What a stream with this schema takes, in a few words. */
export function schemaWords(schema: Schema): string {
  if (isList(schema["enum"])) return `one of ${schema["enum"].length}`;
  const types = typesOf(schema);
  if (!types.length) return "anything";
  const { minimum, maximum } = schema;
  const words = types.map((name) => TYPE_WORDS[name]).join(" or ");
  if (typeof minimum === "number" && typeof maximum === "number") return `${words} from ${minimum} to ${maximum}`;
  return words;
}
