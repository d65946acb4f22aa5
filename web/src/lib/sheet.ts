/** Reading files of data: which rows and columns there are, and which rows cannot be read. */
import { parseJson, type Json } from "../api";
import { splitCsv, type CsvRecord } from "./csv";
import { isTime } from "./filetimes";
import { isObject } from "./schema";

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
  /** Of separated values: the first line has the names of the columns. */
  readonly isTitled: boolean;
}

/** What stands in a column; a row need not have all of them. */
export const cellOf = ({ cells }: Row, column: string): Json | undefined => (Object.hasOwn(cells, column) ? cells[column] : undefined);

/** More of them are no columns, but data where names should be. */
const COLUMNS_MAX = 1000;

/**
 * What is in a file. Throws what is wrong if there are no rows in it.
 *
 * `isTitled` says whether the first line of separated values has the names of the columns; null: it is guessed.
 */
export function readSheet(text: string, isTitled: boolean | null = null): Sheet {
  const plain = text.replace(/^\uFEFF/, "");
  const start = plain.trimStart();
  if (!start) throw new Error("There is nothing in it.");
  const sheet = start.startsWith("[") ? readJson(plain) : start.startsWith("{") ? readLines(plain) : readCsv(plain, isTitled);
  if (sheet.columns.length > COLUMNS_MAX) throw new Error(`There are more than ${COLUMNS_MAX.toLocaleString("en")} columns.`);
  return sheet;
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
  for (const row of rows) for (const name of Object.keys(row.cells)) columns.add(name);
  return { kind, columns: [...columns], rows, isTitled: false };
}

function readCsv(text: string, isTitled: boolean | null): Sheet {
  const records = splitCsv(text);
  const [first, second] = records;
  if (!first) throw new Error("There is nothing in it.");
  const titled = isTitled ?? looksTitled(first, second);
  const names: string[] = [];
  for (const [i, cell] of first.cells.entries()) {
    const wanted = (titled && cell.trim()) || `column ${i + 1}`;
    names.push(names.includes(wanted) ? `${wanted} (${i + 1})` : wanted);
  }
  const rows = (titled ? records.slice(1) : records).map(({ line, cells, fault }): Row => {
    const row = { line, cells: Object.fromEntries(names.map((name, i) => [name, cells[i] ?? ""])) };
    const wrong = fault ?? (cells.length > names.length ? `There are ${cells.length} cells, but ${names.length} columns.` : undefined);
    return wrong === undefined ? row : { ...row, fault: wrong };
  });
  if (!rows.length) throw new Error("There is a first line with names, and nothing below it.");
  return { kind: "csv", columns: names, rows, isTitled: titled };
}

/** Data looks like the line below it; names do not, as there are times and numbers below them. */
function looksTitled(first: CsvRecord, second: CsvRecord | undefined): boolean {
  const kinds = first.cells.map(kindOf);
  if (kinds.every((kind) => kind === "text" || kind === "")) return true;
  const below = second?.cells.map(kindOf) ?? kinds;
  return !kinds.every((kind, i) => kind === below[i] || !kind || !below[i]);
}

function kindOf(cell: string): "" | "number" | "time" | "text" {
  const text = cell.trim();
  if (!text) return "";
  if (/^[+-]?[\d.,]*\d([eE][+-]?\d+)?$/.test(text)) return "number";
  return isTime(text) ? "time" : "text";
}
