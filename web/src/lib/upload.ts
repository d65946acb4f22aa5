/** What becomes of the rows of a file in a stream: their times and values, and which cannot be used. */
import { numberOf, parseJson, type Json } from "../api";
import { guessFormat, textOf, timesOf, type TimeFormat } from "./filetimes";
import { isObject, typeOf, typesOf, valueFault, type Schema } from "./schema";
import { cellOf, type Sheet } from "./sheet";

/** How numbers in separated values look. */
export type NumberFormat = "dot" | "comma" | "groups";

export const NUMBER_FORMATS: readonly (readonly [NumberFormat, string])[] = [
  ["dot", "1234.5"],
  ["comma", "1.234,5 or 1234,5 (decimal comma)"],
  ["groups", "1,234.5"],
];

const NUMBERS: Readonly<Record<NumberFormat, { readonly looks: RegExp; readonly plain: (text: string) => string }>> = {
  dot: { looks: /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/, plain: (text) => text },
  comma: {
    looks: /^[+-]?((\d+|\d{1,3}(\.\d{3})+)(,\d*)?|,\d+)([eE][+-]?\d+)?$/,
    plain: (text) => text.replaceAll(".", "").replace(",", "."),
  },
  groups: { looks: /^[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?([eE][+-]?\d+)?$/, plain: (text) => text.replaceAll(",", "") },
};

/** A text as a number; undefined if it is none. What begins with zeros is the name of something, such as a telephone. */
function parseNumber(text: string, format: NumberFormat): number | bigint | undefined {
  const { looks, plain } = NUMBERS[format];
  if (!looks.test(text)) return undefined;
  const digits = plain(text).replace("+", "");
  const number = numberOf(digits);
  return Number.isFinite(Number(number)) && !/^-?0\d/.test(digits) ? number : undefined;
}

interface Read {
  /** Undefined: there is none. */
  readonly d?: Json | undefined;
  readonly fault?: string;
}

/**
 * A cell of separated values as a value: numbers, yes and no, JSON as our own files have it, else text. Where the stream
 * takes texts only, numbers are texts, too.
 */
export function parseCell(cell: string, format: NumberFormat, schema: Schema = {}): Read {
  const text = cell.trim();
  if (!text) return {};
  const onlyText = isTextOnly(schema);
  if (text.startsWith('"') || (!onlyText && /^[[{]/.test(text))) {
    try {
      return { d: parseJson(text) as Json };
    } catch {
      return { d: cell };
    }
  }
  if (onlyText) return { d: cell };
  const number = parseNumber(text, format);
  if (number !== undefined) return { d: number };
  if (/^(true|false)$/i.test(text)) return { d: text.toLowerCase() === "true" };
  if (NUMBER_FORMATS.some(([other]) => parseNumber(text, other) !== undefined))
    return { fault: `“${text.slice(0, 40)}” may be a number: say above what numbers look like.` };
  return { d: cell };
}

const isTextOnly = (schema: Schema): boolean => String(typesOf(schema)) === "string";

/** What a cell of a file is, in a stream (or a property of its objects) with that schema. */
function valueOf(cell: Json | undefined, { kind }: Sheet, { numbers, unquote }: Plan, schema: Schema): Read {
  if (typeof cell !== "string") return { d: cell };
  if (kind === "csv") return parseCell(cell, numbers, schema);
  return { d: (unquote ? parseNumber(cell.trim(), "dot") : undefined) ?? cell };
}

const propertyOf = (schema: Schema, name: string): Schema => {
  const properties = schema["properties"];
  const found = isObject(properties) && Object.hasOwn(properties, name) ? properties[name] : undefined;
  return isObject(found) ? found : {};
};

export interface Plan {
  readonly timeColumn: string;
  readonly format: TimeFormat;
  readonly zone: string;
  /** One: its values; several: objects of them. */
  readonly valueColumns: readonly string[];
  readonly numbers: NumberFormat;
  /** Texts in JSON that are numbers are taken as such. */
  readonly unquote: boolean;
}

/** What would become of a row. */
export interface Verdict {
  readonly line: number;
  readonly t: number;
  readonly d: Json;
  readonly fault: string | null;
  /** What there is to know about its time. */
  readonly note: string | null;
}

/** What a sheet makes, row by row, in a stream with that schema. */
export function judge(sheet: Sheet, plan: Plan, schema: Schema): Verdict[] {
  const [only] = plan.valueColumns;
  const cells = sheet.rows.map((row) => (row.fault ? undefined : cellOf(row, plan.timeColumn)));
  const times = timesOf(cells, plan.format, plan.zone);
  return sheet.rows.map((row, i) => {
    const { line, fault } = row;
    const bad = (why: string): Verdict => ({ line, t: 0, d: null, fault: why, note: null });
    if (fault) return bad(fault);
    const [raw, time] = [cells[i], times[i]];
    if (!time) return bad(raw === undefined || raw === "" ? "There is no time." : `“${textOf(raw).slice(0, 40)}” is no time of this kind.`);
    let d: Json | undefined;
    if (plan.valueColumns.length === 1 && only !== undefined) {
      const read = valueOf(cellOf(row, only), sheet, plan, schema);
      if (read.fault) return bad(read.fault);
      d = read.d;
    } else {
      const parts: [string, Json][] = [];
      for (const name of plan.valueColumns) {
        const read = valueOf(cellOf(row, name), sheet, plan, propertyOf(schema, name));
        if (read.fault) return bad(read.fault);
        if (read.d !== undefined) parts.push([name, read.d]);
      }
      d = parts.length ? Object.fromEntries(parts) : undefined;
    }
    if (d === undefined) return bad("There is no value.");
    return { line, ...time, d, fault: lossIn(d) ?? valueFault(d, schema) };
  });
}

/** Which number in it could not be stored as it stands in the file. */
function lossIn(d: Json): string | null {
  if (typeof d === "number") {
    if (!Number.isFinite(d)) return "A number in it is too large.";
    if (!JSON.rawJSON && Number.isInteger(d) && !Number.isSafeInteger(d)) return "A number in it has more digits than this browser can keep.";
    return null;
  }
  const parts: readonly Json[] = Array.isArray(d) ? d : isObject(d) ? Object.values(d) : [];
  for (const part of parts) {
    const loss = lossIn(part);
    if (loss !== null) return loss;
  }
  return null;
}

/** A first guess at which columns are what. */
export function guessPlan(sheet: Sheet, zone: string): Plan {
  const sample = sheet.rows.slice(0, 200);
  const cellsOf = (column: string): Json[] => sample.map((row) => cellOf(row, column) ?? "");
  const named = (words: RegExp): string | undefined => sheet.columns.find((name) => words.test(name));
  const timeColumn =
    sheet.columns.find((name) => name === "t") ??
    named(/^(time|timestamp|datetime|date|zeit|datum|when|ts)\b/i) ??
    named(/time|date|zeit|datum/i) ??
    sheet.columns[0] ??
    "";
  const others = sheet.columns.filter((name) => name !== timeColumn && name !== "o");
  const valueColumns = others.includes("d") ? ["d"] : others;
  const texts = valueColumns.flatMap(cellsOf).filter((cell): cell is string => typeof cell === "string");
  return {
    timeColumn,
    format: guessFormat(cellsOf(timeColumn)),
    zone,
    valueColumns,
    numbers: guessNumbers(texts.map((text) => text.trim())),
    unquote: false,
  };
}

/** How numbers look, by the texts that are one in some of the formats only. */
function guessNumbers(texts: readonly string[]): NumberFormat {
  const sure = { dot: 0, comma: 0, groups: 0 };
  for (const text of texts) {
    const [dot, comma, groups] = NUMBER_FORMATS.map(([format]) => parseNumber(text, format) !== undefined);
    if (dot) sure.dot += comma ? 0 : 1;
    else if (comma !== groups) sure[comma ? "comma" : "groups"]++;
  }
  if (sure.comma && sure.comma >= sure.dot + sure.groups) return "comma";
  return sure.groups ? "groups" : "dot";
}

/** What was chosen for a stream, with all the columns that there were to choose from. */
export interface Mapping {
  readonly plan: Plan;
  readonly columns: readonly string[];
}

const MAPPINGS_MAX = 50;

/** With `plan` for that stream, as the newest of those that are kept. */
export function remember(known: Readonly<Record<string, Mapping>>, path: string, plan: Plan, sheet: Sheet): Record<string, Mapping> {
  const others = Object.entries(known).filter(([other]) => other !== path);
  return Object.fromEntries([...others.slice(1 - MAPPINGS_MAX), [path, { plan, columns: sheet.columns }]]);
}

/** The streams to which files with just these columns went, the newest one last. */
export function alikeIn(known: Readonly<Record<string, Mapping>>, sheet: Sheet): [path: string, plan: Plan][] {
  const columns = [...sheet.columns].sort().join("\n");
  return Object.entries(known)
    .filter(([, mapping]) => [...mapping.columns].sort().join("\n") === columns)
    .map(([path, { plan }]) => [path, plan]);
}

/** The schema of a new stream for these values. */
export function schemaFor(values: readonly Json[]): Schema {
  const kinds = new Set(values.map((value) => typeOf(value).replace("integer", "number")));
  const [only] = kinds;
  if (kinds.size !== 1 || only === undefined) return {};
  if (only === "object") {
    const names = [...new Set(values.flatMap((value) => (isObject(value) ? Object.keys(value) : [])))];
    const properties = Object.fromEntries(
      names.map((name) => [name, schemaFor(values.flatMap((value) => (isObject(value) && Object.hasOwn(value, name) ? [value[name] ?? null] : [])))]),
    );
    return { type: "object", properties };
  }
  return { type: only };
}
