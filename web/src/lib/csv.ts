/** Separated values (RFC 4180): by commas, semicolons or tabs, whichever the first line has most of. */

export interface CsvRecord {
  /** Where it begins. */
  readonly line: number;
  readonly cells: readonly string[];
  readonly fault?: string;
}

/**
 * The records of `text`, without empty ones. Where a quotation mark is not closed as it should be, the line that it
 * stands in is a fault, and what follows is read as if there were none: nothing of it is lost in that cell.
 */
export function splitCsv(text: string): CsvRecord[] {
  const mark = separatorOf(text);
  const out: CsvRecord[] = [];
  let [cells, cell, line, begun] = [[] as string[], "", 1, 1];
  // Where the quotation mark is that a cell begins with; and whether it is closed.
  let [opened, openedIn, closed] = [-1, 1, false];
  const end = (): void => {
    cells.push(cell);
    if (cells.length > 1 || cell.trim()) out.push({ line: begun, cells });
    [cells, cell, begun] = [[], "", line];
  };
  for (let i = 0; i <= text.length; i++) {
    const c = text.charAt(i);
    const quoted = opened >= 0 && !closed;
    const isWrong = quoted ? c === "" : closed && c !== "" && c !== mark && c !== "\n" && c !== "\r" && c !== " ";
    if (isWrong) {
      const next = text.indexOf("\n", opened);
      const stop = next < 0 ? text.length : next;
      out.push({ line: begun, cells: [...cells, text.slice(opened, stop)], fault: quoted ? UNCLOSED : BEHIND });
      [i, line] = [stop, openedIn + 1];
      [cells, cell, begun, opened, closed] = [[], "", line, -1, false];
      continue;
    }
    if (c === "\n") line++;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text.charAt(i + 1) === '"') {
        cell += '"';
        i++;
      } else closed = true;
    } else if (c === '"' && cell.trim() === "" && !closed) {
      [opened, openedIn, cell] = [i, line, ""];
    } else if (c === mark || c === "\n" || c === "") {
      [opened, closed] = [-1, false];
      if (c === mark) {
        cells.push(cell);
        cell = "";
      } else if (c === "\n" || cell || cells.length) end();
    } else if (c !== "\r" && !closed) cell += c;
  }
  return out;
}

const UNCLOSED = "A quotation mark in it is not closed.";
const BEHIND = "There is something behind a quotation mark that closes a cell.";

function separatorOf(text: string): string {
  const head = text.slice(0, text.search(/\r?\n|$/));
  const counts = [",", ";", "\t"].map((mark) => [mark, head.split(mark).length] as const).sort((a, b) => b[1] - a[1]);
  return counts[0]?.[0] ?? ",";
}
