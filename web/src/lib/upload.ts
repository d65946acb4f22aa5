/** Reading files of data: which rows there are, what their times and values are, and which cannot be used. */
import { numberOf, parseJson, type Json } from "../api";
import { guessFormat, textOf, timesOf, type TimeFormat } from "./filetimes";
import { isObject, typeOf, valueFault, type Schema } from "./schema";

export type FileKind = "csv" | "json" | "ndjson";

/** A row as it stands in the file; `line` is where it begins. */
export interface Row {
  readonly line: number;
  readonly cells: Readonly<Record<string, Json>>;
  readonly fault?: string;
}

export interface Sheet {
  readonly kind: FileKind;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

/** What stands in a column; a row need not have all of them. */
export const cellOf = ({ cells }: Row, column: string): Json | undefined => (Object.hasOwn(cells, column) ? cells[column] : undefined);

/** What is in a file. Throws what is wrong if there are no rows in it. */
export function readSheet(text: string): Sheet {
  const plain = text.replace(/^\uFEFF/, "");
  const start = plain.trimStart();
  if (!start) throw new Error("There is nothing in it.");
  if (start.startsWith("[")) return readJson(plain);
  if (start.startsWith("{")) return readLines(plain);
  return readCsv(plain);
}

function readJson(text: string): Sheet {
  let found: unknown;
  try {
    found = parseJson(text);
  } catch (error) {
    throw new Error(`This is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!Array.isArray(found)) throw new Error("A list is expected: [{…}, {…}].");
  return sheetOf("json", found.map((item, i) => rowOf(item as Json, i + 1)));
}

function readLines(text: string): Sheet {
  const rows: Row[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (!line.trim()) continue;
    try {
      rows.push(rowOf(parseJson(line) as Json, i + 1));
    } catch {
      rows.push({ line: i + 1, cells: {}, fault: "This line is no JSON." });
    }
  }
  if (rows.length === 1 && rows[0]?.fault) throw new Error("This is neither a list nor lines of JSON.");
  return sheetOf("ndjson", rows);
}

function rowOf(item: Json, line: number): Row {
  if (isObject(item)) return { line, cells: item };
  if (Array.isArray(item)) return { line, cells: Object.fromEntries((item as readonly Json[]).map((part, i) => [`column ${i + 1}`, part])) };
  return { line, cells: {}, fault: "This is no object." };
}

function sheetOf(kind: FileKind, rows: readonly Row[]): Sheet {
  const columns = new Set<string>();
  for (const row of rows.slice(0, 1000)) for (const name of Object.keys(row.cells)) columns.add(name);
  return { kind, columns: [...columns], rows };
}

/** Separated values (RFC 4180): by commas, semicolons or tabs, whichever the first line has most of. */
function readCsv(text: string): Sheet {
  const head = text.slice(0, text.search(/\r?\n|$/));
  const counts = [",", ";", "\t"].map((mark) => [mark, head.split(mark).length] as const).sort((a, b) => b[1] - a[1]);
  const mark = counts[0]?.[0] ?? ",";
  const records = splitCsv(text, mark);
  const [first, ...rest] = records;
  if (!first) throw new Error("There is nothing in it.");
  // A first line that is all numbers and times is data.
  const titled = first.cells.some((cell) => cell.trim() && !/^[-+\d.,:TZ/ ]+$/.test(cell));
  const names: string[] = [];
  for (const [i, cell] of first.cells.entries()) {
    const wanted = (titled && cell.trim()) || `column ${i + 1}`;
    names.push(names.includes(wanted) ? `${wanted} (${i + 1})` : wanted);
  }
  const rows = (titled ? rest : records).map(({ line, cells }): Row => {
    const row = { line, cells: Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""])) };
    return cells.length > names.length ? { ...row, fault: `There are ${cells.length} cells, but ${names.length} columns.` } : row;
  });
  if (!rows.length) throw new Error("There is a first line with names, and nothing below it.");
  return { kind: "csv", columns: names, rows };
}

function splitCsv(text: string, mark: string): { line: number; cells: string[] }[] {
  const out: { line: number; cells: string[] }[] = [];
  let [cells, cell, quoted, line, begun] = [[] as string[], "", false, 1, 1];
  const end = (): void => {
    cells.push(cell);
    if (cells.length > 1 || cell.trim()) out.push({ line: begun, cells });
    cells = [];
    cell = "";
    begun = line;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i);
    if (c === "\n") line++;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text.charAt(i + 1) === '"') {
        cell += '"';
        i++;
      } else quoted = false;
    } else if (c === '"' && cell.trim() === "") {
      quoted = true;
      cell = "";
    } else if (c === mark) {
      cells.push(cell);
      cell = "";
    } else if (c === "\n") end();
    else if (c !== "\r") cell += c;
  }
  if (cell || cells.length) end();
  return out;
}

// ---- values

/** A cell of a CSV as a value: numbers, yes and no, else text. */
export function parseCell(value: Json | undefined, comma: boolean): Json | undefined {
  if (typeof value !== "string") return value;
  const text = value.trim();
  if (!text) return undefined;
  const plain = comma ? text.replace(/\.(?=\d{3})/g, "").replace(",", ".") : text;
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(plain)) {
    const number = numberOf(plain.replace("+", ""));
    // What begins with zeros is a number of something, such as a telephone.
    if (Number.isFinite(Number(number)) && !/^[+-]?0\d/.test(plain)) return number;
  }
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  return text;
}

export interface Plan {
  readonly timeColumn: string;
  readonly format: TimeFormat;
  readonly zone: string;
  /** One: its values; several: objects of them. */
  readonly valueColumns: readonly string[];
  readonly comma: boolean;
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
    if (plan.valueColumns.length === 1 && only !== undefined) d = parseCell(cellOf(row, only), plan.comma);
    else {
      const parts = plan.valueColumns.map((name) => [name, parseCell(cellOf(row, name), plan.comma)] as const).filter((part): part is [string, Json] => part[1] !== undefined);
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
  const commas = texts.filter((text) => /^\s*-?[\d.]*\d,\d+\s*$/.test(text)).length;
  return {
    timeColumn,
    format: guessFormat(cellsOf(timeColumn)),
    zone,
    valueColumns,
    comma: commas > 0 && commas >= texts.filter((text) => /^\s*-?\d+\.\d+\s*$/.test(text)).length,
  };
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
