import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { isNumber, listUserStreams, queryDataset, queryMerge, readPoints, type Json, type Point, type StreamPath } from "../api";
import {
  analysisFault,
  BY_INDEX,
  COLUMNS_MAX,
  EMPTY_COLUMN,
  namesOf,
  pairsOf,
  readAnalysis,
  ROWS_MAX,
  toCsv,
  toCurl,
  toDataset,
  toMerge,
  toPython,
  type Analysis,
  type Column,
} from "../lib/analysis";
import { readInterpolators } from "../lib/meta";
import { place, setQuery } from "../lib/router";
import { isObject } from "../lib/schema";
import { myName } from "../lib/session";
import { correlation } from "../lib/stats";
import { localInput, now, parseLocal, timeText, zone } from "../lib/time";
import { numberText, valueText } from "../plots/kinds";
import { saveBlob } from "../plots/looks";
import { roomy, type Span } from "../plots/range";
import { numbersIn } from "../plots/source";
import { StaticSource } from "../plots/StaticSource";
import { CopyButton, Fault, Loading, Page } from "../ui/basics";
import { CheckField, Form, SelectField, TextField } from "../ui/fields";
import { useAction, useLoad } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { lazy } from "../ui/lazy";
import { ScriptField } from "../ui/ScriptField";
import { StreamField } from "../ui/StreamField";

const LinePlot = lazy(() => import("../plots/LinePlot"));
const Cloud = lazy(async () => ({ default: (await import("../plots/Scatter")).Cloud }));

const TIMES: readonly (readonly [string, string])[] = [
  ["86400", "the last day"],
  ["604800", "the last week"],
  ["2592000", "the last 30 days"],
  ["31536000", "the last year"],
  ["0", "all"],
  ["-1", "from … to …"],
  [String(BY_INDEX), "values by their number"],
];
const STEPS: readonly (readonly [string, string])[] = [
  ["60", "each minute"],
  ["600", "each ten minutes"],
  ["3600", "each hour"],
  ["86400", "each 24 hours"],
  ["604800", "each 7 days"],
];
const PAGE = 50;

interface Result {
  readonly analysis: Analysis;
  readonly at: number;
  readonly rows: readonly Point[];
}

/** Several streams at once: as a table, or one after the other. */
export default function Analyse() {
  const user = myName.value;
  const streams = useLoad((signal) => listUserStreams(user, signal), [user]);
  const interpolators = useLoad(readInterpolators, []);
  const [a, setA] = useState<Analysis>(() => readAnalysis(place.value.query.get("q")));
  const [tried, setTried] = useState(false);
  const [result, setResult] = useState<Result | null>(null);
  const set = (changes: Partial<Analysis>): void => setA((was) => ({ ...was, ...changes }));
  const fault = analysisFault(a, now());
  const action = useAction(async () => {
    const at = now();
    setQuery({ q: JSON.stringify(a) });
    const rows =
      a.kind === "merge" ? await queryMerge(toMerge(a, at)) : await queryDataset(toDataset(a, at));
    setResult({ analysis: a, at, rows });
  });
  useEffect(() => {
    // A link, and who comes back, means the result, too.
    if (place.value.query.has("q") && fault === null) void action.run();
  }, []);
  const own = (streams.data ?? []).map((stream) => {
    const path = `${user}/${stream.device}/${stream.name}`;
    return [path, stream.nickname ? `${stream.nickname} (${stream.device})` : `${stream.device}/${stream.name}`] as const;
  });
  const column = (i: number, changes: Partial<Column>): void =>
    set({ columns: a.columns.map((other, j) => (i === j ? { ...other, ...changes } : other)) });
  return (
    <Page
      title="Analyse"
      lead={<p>Put several streams together: side by side in a table, with what each of them was at the same time, or one after the other.</p>}
    >
      <Fault error={streams.error} retry={streams.reload} />
      <div class="card">
        <Form
          label="What to put together"
          submit="Show"
          busy={action.busy}
          busyText="Working"
          onSubmit={() => {
            setTried(true);
            if (fault === null) void action.run();
          }}
        >
          <div class="row">
            <SelectField
              label="Put together"
              value={a.kind}
              options={[
                ["dataset", "side by side (dataset)"],
                ["merge", "one after the other (merge)"],
              ]}
              onChange={(kind) => set({ kind })}
            />
            <SelectField
              label="Time"
              value={String(a.last)}
              options={TIMES}
              onChange={(last) => {
                const to = Math.round(now());
                set({ last: Number(last), ...(last === "-1" && a.t2 === 0 ? { t1: to - 7 * 86_400, t2: to } : {}) });
              }}
            />
          </div>
          {a.last === BY_INDEX && (
            <div class="row">
              <NumberField label="From number" value={a.i1} onChange={(i1) => set({ i1 })} help="The first is 0; -100 is the hundredth from the end." />
              <NumberField label="Up to number" value={a.i2} onChange={(i2) => set({ i2 })} help="This one is not included; 0: to the end." />
            </div>
          )}
          {a.last !== BY_INDEX && (a.kind === "merge" || a.x) && (
            <NumberField
              label={a.kind === "merge" ? "At most, of each stream" : "At most, of the rows’ stream"}
              value={a.limit}
              onChange={(limit) => set({ limit: Math.max(0, limit) })}
              help="Counted from the beginning of the time; 0: all."
            />
          )}
          {a.last === -1 && (
            <div class="row">
              <TextField type="datetime-local" step={1} label="From" value={localInput(a.t1)} onInput={(text) => set({ t1: parseLocal(text) ?? a.t1 })} />
              <TextField type="datetime-local" step={1} label="To" value={localInput(a.t2)} onInput={(text) => set({ t2: parseLocal(text) ?? a.t2 })} />
              <p class="help">In {zone.value}.</p>
            </div>
          )}
          {a.kind === "dataset" && (
            <fieldset>
              <legend>A row for</legend>
              <div class="row">
                <StreamField
                  label="Rows"
                  value={a.x}
                  first={["", "equal steps of time"]}
                  own={own.map(([path, text]) => [path, `each value of ${text}`] as const)}
                  onChange={(x) => set({ x })}
                />
                {!a.x && (
                  <SelectField
                    label="Step"
                    value={String(a.dt)}
                    options={STEPS.some(([key]) => key === String(a.dt)) ? STEPS : [...STEPS, [String(a.dt), `each ${a.dt} s`] as const]}
                    onChange={(dt) => set({ dt: Number(dt) })}
                  />
                )}
              </div>
              {a.x && (
                <ScriptField
                  label="Transform of the rows’ stream"
                  value={a.xTransform}
                  onInput={(xTransform) => set({ xTransform })}
                  check={checkOn(a.x)}
                />
              )}
            </fieldset>
          )}
          {a.columns.map((one, i) => (
            <fieldset key={i} class="column">
              <legend>{a.kind === "dataset" ? `Column ${i + 1}` : `Stream ${i + 1}`}</legend>
              <div class="row">
                <StreamField label="Stream" value={one.stream} own={own} onChange={(stream) => column(i, { stream })} />
                {a.kind === "dataset" && (
                  <>
                    <SelectField
                      label="Value at a time"
                      value={one.interpolator}
                      options={(interpolators.data ?? [{ name: one.interpolator, description: "" }]).map(({ name }) => [name, name] as const)}
                      onChange={(interpolator) => column(i, { interpolator })}
                      help={interpolators.data?.find(({ name }) => name === one.interpolator)?.description}
                    />
                    <TextField label="Name of the column" value={one.name} onInput={(name) => column(i, { name })} autocomplete="off" placeholder={namesOf(a)[i] ?? ""} />
                  </>
                )}
                {a.columns.length > 1 && (
                  <button type="button" aria-label={`Remove ${a.kind === "dataset" ? "column" : "stream"} ${i + 1}`} onClick={() => set({ columns: a.columns.filter((_, j) => j !== i) })}>
                    <Icon name="trash" />
                  </button>
                )}
              </div>
              <ScriptField
                label={`Transform of ${a.kind === "dataset" ? "column" : "stream"} ${i + 1}`}
                value={one.transform}
                onInput={(transform) => column(i, { transform })}
                check={checkOn(one.stream)}
                {...(a.kind === "dataset" && one.more.length > 0 && { help: "Of its first stream." })}
              />
              {a.kind === "dataset" && <Merged of={i + 1} column={one} own={own} onChange={(changes) => column(i, changes)} />}
            </fieldset>
          ))}
          <p>
            <button type="button" disabled={a.columns.length >= COLUMNS_MAX} onClick={() => set({ columns: [...a.columns, EMPTY_COLUMN] })}>
              <Icon name="plus" /> <span>{a.kind === "dataset" ? "Add a column" : "Add a stream"}</span>
            </button>
          </p>
          {a.kind === "dataset" && (
            <ScriptField label="Transform of the whole table" value={a.post} onInput={(post) => set({ post })} help="Each row is an object: $['steps'] is a column." />
          )}
          {tried && fault && (
            <p class="field-fault" role="alert">
              {fault}
            </p>
          )}
        </Form>
      </div>
      <Fault error={action.error} />
      {action.busy && <Loading what="Working" />}
      {result && !action.busy && <Results result={result} />}
    </Page>
  );
}

function checkOn(stream: string): ((script: string, signal: AbortSignal) => Promise<unknown>) | undefined {
  const parts = stream.split("/");
  if (parts.length !== 3) return undefined;
  const path = parts as unknown as StreamPath;
  return (transform, signal) => readPoints(path, { i1: 0, i2: 1, transform }, signal);
}

/** What else belongs to a column: streams that are merged with its own, and whether it may be empty. */
function Merged({ of, column, own, onChange }: { of: number; column: Column; own: readonly (readonly [string, string])[]; onChange: (changes: Partial<Column>) => void }) {
  const part = (i: number, changes: Partial<Column["more"][number]>): void =>
    onChange({ more: column.more.map((other, j) => (i === j ? { ...other, ...changes } : other)) });
  return (
    <>
      {column.more.map((one, i) => {
        const which = `stream ${i + 2} of column ${of}`;
        return (
          <div class="row merged" key={i}>
            <StreamField label={`Merged with: ${which}`} value={one.stream} own={own} onChange={(stream) => part(i, { stream })} />
            <ScriptField label={`Transform of ${which}`} value={one.transform} onInput={(transform) => part(i, { transform })} check={checkOn(one.stream)} />
            <button type="button" aria-label={`Remove ${which}`} onClick={() => onChange({ more: column.more.filter((_, j) => j !== i) })}>
              <Icon name="trash" />
            </button>
          </div>
        );
      })}
      <div class="row">
        <CheckField label={`Rows without a value in column ${of}, too`} checked={column.allownil} onChange={(allownil) => onChange({ allownil })} />
        <button type="button" class="plain" disabled={column.more.length >= COLUMNS_MAX - 1} onClick={() => onChange({ more: [...column.more, { stream: "", transform: "" }] })}>
          <Icon name="plus" /> <span>Merge another stream into column {of}</span>
        </button>
      </div>
    </>
  );
}

/** A whole number; what is typed on the way to one stays. */
function NumberField({ label, value, onChange, help }: { label: string; value: number; onChange: (value: number) => void; help: string }) {
  const [text, setText] = useState(String(value));
  const wrong = !/^-?\d{1,15}$/.test(text.trim());
  return (
    <TextField
      label={label}
      value={text}
      help={help}
      inputMode="numeric"
      autocomplete="off"
      fault={wrong ? "It has to be a whole number." : null}
      onInput={(typed) => {
        setText(typed);
        const number = Number(typed.trim());
        if (/^-?\d{1,15}$/.test(typed.trim())) onChange(number);
      }}
    />
  );
}

type Label = (name: string) => string;

function Results({ result }: { result: Result }) {
  const { analysis, at, rows } = result;
  const url = window.location.origin;
  const python = toPython(analysis, at, url, myName.value);
  const curl = toCurl(analysis, at, url, myName.value);
  // What the rows are of is called x, whichever stream that is.
  const label: Label = (name) => (name === "x" && analysis.kind === "dataset" && analysis.x ? `${analysis.x.split("/").at(-1) ?? ""} (x)` : name);
  const frame = useRef<HTMLDivElement>(null);
  // What was asked for comes below a form that may fill the screen.
  useEffect(() => frame.current?.scrollIntoView(), []);
  return (
    <div class="results" ref={frame}>
      <section class="card" aria-labelledby="result">
        <h2 id="result">Result</h2>
        <p role="status">
          {rows.length.toLocaleString("en")} {rows.length === 1 ? "row" : "rows"}
          {rows.length >= ROWS_MAX && ", of which some plots show a part"}.
        </p>
        {analysis.kind === "dataset" && analysis.columns.some(({ interpolator }) => interpolator === "mean" || interpolator === "sum") && (
          <p class="muted">
            Where a stream has no value between two rows, “mean” and “sum” give 0, and that counts in plots and correlations.
          </p>
        )}
        {rows.length > 0 && <Save rows={rows} />}
        {rows.length > 0 && <Plots rows={rows} label={label} />}
        {rows.length > 0 && <Rows rows={rows} label={label} />}
      </section>
      <section class="card" aria-labelledby="elsewhere">
        <h2 id="elsewhere">The same elsewhere</h2>
        {(
          [
            ["Python", python],
            ["curl", curl],
          ] as const
        ).map(([name, code]) => (
          <div key={name}>
            <h3>{name}</h3>
            {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
            <pre tabIndex={0} role="region" aria-label={`Code: ${name}`}>
              <code>{code}</code>
            </pre>
            <CopyButton text={code} what={`code for ${name}`} />
          </div>
        ))}
      </section>
    </div>
  );
}

function Save({ rows }: { rows: readonly Point[] }) {
  const save = (text: string, type: string, end: string): void => saveBlob(new Blob([text], { type }), `analysis.${end}`);
  return (
    <div class="actions" role="group" aria-label="Download the result">
      <button type="button" onClick={() => save(toCsv(rows), "text/csv;charset=utf-8", "csv")}>
        <Icon name="download" /> <span>CSV</span>
      </button>
      <button type="button" onClick={() => save(JSON.stringify(rows), "application/json", "json")}>
        <Icon name="download" /> <span>JSON</span>
      </button>
    </div>
  );
}

/** The columns of numbers, each with its times. */
function columnsIn(rows: readonly Point[]): Map<string, { t: number; d: number }[]> {
  const out = new Map<string, { t: number; d: number }[]>();
  const put = (name: string, t: number, value: unknown): void => {
    if (typeof value !== "number") return;
    const column = out.get(name) ?? [];
    column.push({ t, d: value });
    out.set(name, column);
  };
  for (const { t, d } of rows) {
    if (isObject(d)) for (const [name, value] of Object.entries(d)) put(name, t, value);
  }
  if (!out.size && numbersIn(rows).length) out.set("values", numbersIn(rows));
  return out;
}

function Plots({ rows, label }: { rows: readonly Point[]; label: Label }) {
  const columns = useMemo(() => columnsIn(rows), [rows]);
  const names = [...columns.keys()];
  const [span, setSpan] = useState<Span>(() => roomy({ t1: rows[0]?.t ?? 0, t2: rows.at(-1)?.t ?? 1 }));
  const sources = useMemo(() => new Map([...columns].map(([name, points]) => [name, new StaticSource(points)])), [columns]);
  const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b] as const));
  const [chosen, setChosen] = useState("0");
  const pair = pairs[Number(chosen)] ?? pairs[0];
  const cloud = useMemo(() => (pair ? pairsOf(rows, pair) : []), [rows, pair?.[0], pair?.[1]]);
  return (
    <>
      {names.slice(0, 6).map((name) => {
        const source = sources.get(name);
        return source ? (
          <div key={name}>
            <h3>{label(name)}</h3>
            <LinePlot source={source} span={span} onSpan={setSpan} revision={0} label={label(name)} height={180} />
          </div>
        ) : null;
      })}
      {pairs.length > 0 && (
        <>
          <h3>How they go together</h3>
          {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
          <div class="scroll" role="region" tabIndex={0} aria-label="Correlations">
            <table class="values">
              <caption class="sr">Correlations</caption>
              <thead>
                <tr>
                  <th scope="col">Columns</th>
                  <th scope="col" class="number">r</th>
                  <th scope="col" class="number">n</th>
                  <th scope="col" class="number">p</th>
                </tr>
              </thead>
              <tbody>
                {pairs.slice(0, 15).map(([x, y]) => {
                  const { r, n, p } = correlation(pairsOf(rows, [x, y]).map((point) => [point.x, point.y] as const));
                  return (
                    <tr key={`${x} ${y}`}>
                      <th scope="row">
                        {label(x)} and {label(y)}
                      </th>
                      <td class="number">{Number.isNaN(r) ? "–" : r.toFixed(3)}</td>
                      <td class="number">{n.toLocaleString("en")}</td>
                      <td class="number">{Number.isNaN(p) ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3)}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
          <p class="small muted">
            r is Pearson’s coefficient, p how likely so much would be by chance, if all rows were independent; rows that
            follow each other closely are not. With {pairs.length} {pairs.length === 1 ? "pair" : "pairs"}, look for p below{" "}
            {numberText(Number((0.05 / pairs.length).toPrecision(2)))}.
          </p>
          {pairs.length > 1 && (
            <SelectField label="Plot" value={chosen} options={pairs.map(([x, y], i) => [String(i), `${label(x)} and ${label(y)}`] as const)} onChange={setChosen} />
          )}
          {pair && cloud.length > 0 && (
            <Cloud pairs={cloud} label={`Scatter plot of ${label(pair[0])} and ${label(pair[1])}`} xName={label(pair[0])} yName={label(pair[1])} />
          )}
        </>
      )}
    </>
  );
}

const isNumeric = (row: Json | undefined, name: string): boolean => isObject(row) && isNumber(row[name]);

function Rows({ rows, label }: { rows: readonly Point[]; label: Label }) {
  const [page, setPage] = useState(0);
  const names = useMemo(() => [...new Set(rows.slice(0, 500).flatMap(({ d }) => (isObject(d) ? Object.keys(d) : [])))].slice(0, 12), [rows]);
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  return (
    <>
      <h3>Table</h3>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
      <div class="scroll" role="region" tabIndex={0} aria-label="Table of the result">
        <table class="values">
          <caption class="sr">Rows of the result</caption>
          <thead>
            <tr>
              <th scope="col">Time</th>
              {names.length ? names.map((name) => <th scope="col" class={isNumeric(rows[page * PAGE]?.d, name) ? "number" : undefined} key={name}>{label(name)}</th>) : <th scope="col">Value</th>}
            </tr>
          </thead>
          <tbody>
            {rows.slice(page * PAGE, (page + 1) * PAGE).map((row, i) => (
              <tr key={`${row.t} ${i}`}>
                <th scope="row">{timeText(row.t)}</th>
                {names.length ? (
                  names.map((name) => <td class={isNumeric(row.d, name) ? "number" : undefined} key={name}>{isObject(row.d) ? valueText(row.d[name]) : ""}</td>)
                ) : (
                  <td>{valueText(row.d)}</td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pages > 1 && (
        <nav class="pager" aria-label="Pages of the table">
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
            Previous
          </button>
          <span role="status">
            Page {page + 1} of {pages}
          </span>
          <button type="button" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>
            Next
          </button>
        </nav>
      )}
    </>
  );
}
