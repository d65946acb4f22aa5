import { useMemo, useState } from "preact/hooks";

import { createStream, indexAt, insertPoints, listDevices, listUserStreams, readPoints, type Json, type Stream, type StreamPath } from "../api";
import { nameFault, nameOf } from "../lib/names";
import { keyOf } from "../lib/outbox";
import { isPinStream } from "../lib/pins";
import { to } from "../lib/router";
import { parseSchema } from "../lib/schema";
import { myName } from "../lib/session";
import { kept } from "../lib/settings";
import { timeText, zone } from "../lib/time";
import { alikeIn, CHUNK, digest, guessPlan, judge, missing, readSheet, remember, schemaFor, TIME_FORMATS, type Mapping, type Plan, type Sheet, type TimeFormat, type Verdict } from "../lib/upload";
import { valueText } from "../plots/kinds";
import { Fault, LinkButton, Page } from "../ui/basics";
import { AreaField, CheckField, SelectField, TextField } from "../ui/fields";
import { useAction, useId, useLoad } from "../ui/hooks";
import { Icon } from "../ui/Icon";

const PREVIEW = 5;
const LISTED = 100;
const TEXT_MAX = 200_000_000;
const NEW = "new";

/** How files were read that were uploaded last, by the path of the stream. */
const mappings = kept<Readonly<Record<string, Mapping>>>("mappings", {});

/** Brings data from a file into a stream. */
export default function Upload() {
  const [text, setText] = useState("");
  const [source, setSource] = useState("");
  const [over, setOver] = useState(false);
  const file = useId();
  const read = useMemo((): { sheet?: Sheet; error?: unknown } => {
    if (!text.trim()) return {};
    try {
      return { sheet: readSheet(text) };
    } catch (error) {
      return { error };
    }
  }, [text]);
  const take = useAction(async (chosen: File) => {
    if (chosen.size > TEXT_MAX) throw new Error(`${chosen.name} is larger than 200 MB: use connectordb import or a program of your own for it.`);
    setText(await chosen.text());
    setSource(chosen.name);
  });
  return (
    <Page
      title="Upload"
      lead={<p>Bring data from a file into a stream: CSV, JSON, or lines of JSON (NDJSON). Nothing is stored before you have seen what would happen.</p>}
    >
      <section class="card" aria-labelledby="data">
        <h2 id="data">1. The data</h2>
        <Fault error={take.error} />
        {/* eslint-disable-next-line jsx-a11y/no-static-element-interactions -- for the mouse only; the field in it is for all */}
        <div
          class={over ? "drop over" : "drop"}
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(event) => {
            event.preventDefault();
            setOver(false);
            const dropped = event.dataTransfer?.files[0];
            if (dropped) void take.run(dropped);
          }}
        >
          <Icon name="upload" size={28} />
          <div>
            <label for={file}>Drop a file here, or choose one</label>
            <input
              id={file}
              type="file"
              accept=".csv,.tsv,.txt,.json,.ndjson,.jsonl,text/*,application/json"
              onChange={(event) => {
                const chosen = event.currentTarget.files?.[0];
                if (chosen) void take.run(chosen);
              }}
            />
          </div>
        </div>
        {text.length < 100_000 ? (
          <AreaField
            label="Or paste it here"
            code
            rows={5}
            value={text}
            onInput={(value) => {
              setText(value);
              setSource("");
            }}
            fault={read.error instanceof Error ? read.error.message : null}
          />
        ) : (
          <>
            <p>
              {source || "What was pasted"}: {(text.length / 1e6).toFixed(1)} million characters.{" "}
              <button type="button" onClick={() => setText("")}>
                Take it away
              </button>
            </p>
            <Fault error={read.error} />
          </>
        )}
      </section>
      {read.sheet && <Steps key={digest(text.slice(0, 5000)) + String(text.length)} sheet={read.sheet} source={source} />}
    </Page>
  );
}

function Steps({ sheet, source }: { sheet: Sheet; source: string }) {
  const user = myName.value;
  const before = useMemo(() => alikeIn(mappings.value, sheet).filter(([known]) => known.startsWith(`${user}/`)), [sheet, user]);
  const [plan, setPlan] = useState<Plan>(() => before.at(-1)?.[1] ?? guessPlan(sheet, zone.value));
  const [wanted, setTarget] = useState(() => before.at(-1)?.[0].slice(user.length + 1) ?? NEW);
  const [device, setDevice] = useState("user");
  const [name, setName] = useState(() => nameOf(source.replace(/\.\w+$/, "")));
  const streams = useLoad((signal) => listUserStreams(user, signal), [user]);
  const devices = useLoad((signal) => listDevices(user, signal), [user]);
  const set = (changes: Partial<Plan>): void => setPlan((was) => ({ ...was, ...changes }));
  const known = (streams.data ?? []).filter((stream) => !(stream.device === "meta" && stream.name === "log") && !isPinStream(stream));
  const chosen = known.find((stream) => `${stream.device}/${stream.name}` === wanted);
  // The stream of the last time may have been deleted.
  const target = streams.data && !chosen ? NEW : wanted;
  const schema = useMemo(() => (chosen ? parseSchema(chosen.schema) : {}), [chosen]);
  const verdicts = useMemo(() => judge(sheet, plan, schema), [sheet, plan, schema]);
  const zones = [...new Set([zone.value, "UTC", ...Intl.supportedValuesOf("timeZone")])];
  const taken = known.filter((stream) => stream.device === device).map((stream) => stream.name ?? "");
  const wrongName = target === NEW ? nameFault(name, taken) : null;
  const path: StreamPath = chosen ? [user, chosen.device ?? "", chosen.name ?? ""] : [user, device, name];
  const recalled = chosen && before.find(([one, was]) => one === path.join("/") && was === plan);
  const wrongColumns = plan.valueColumns.length ? null : "Choose at least one column.";
  return (
    <>
      <section class="card" aria-labelledby="columns">
        <h2 id="columns">2. What is what</h2>
        <p role="status">
          {sheet.rows.length.toLocaleString("en")} rows of {sheet.kind === "csv" ? "separated values" : sheet.kind === "json" ? "a JSON list" : "lines of JSON"}
          {source && ` from ${source}`}.
        </p>
        <Preview sheet={sheet} />
        <div class="row">
          <SelectField label="Column with the time" value={plan.timeColumn} options={sheet.columns.map((column) => [column, column] as const)} onChange={(timeColumn) => set({ timeColumn, valueColumns: plan.valueColumns.filter((column) => column !== timeColumn) })} />
          <SelectField<TimeFormat> label="Times look like" value={plan.format} options={TIME_FORMATS} onChange={(format) => set({ format })} />
          {plan.format !== "s" && plan.format !== "ms" && (
            <SelectField label="Time zone of times that name none" value={plan.zone} options={zones.map((one) => [one, one] as const)} onChange={(one) => set({ zone: one })} />
          )}
        </div>
        <fieldset>
          <legend>Columns with values</legend>
          {sheet.columns
            .filter((column) => column !== plan.timeColumn)
            .map((column) => (
              <CheckField
                key={column}
                label={column}
                checked={plan.valueColumns.includes(column)}
                onChange={(on) => set({ valueColumns: sheet.columns.filter((other) => (other === column ? on : plan.valueColumns.includes(other))) })}
              />
            ))}
          {wrongColumns && <p class="field-fault">{wrongColumns}</p>}
          {plan.valueColumns.length > 1 && <p class="help">Several columns make one object for each row.</p>}
        </fieldset>
        {sheet.kind === "csv" && (
          <CheckField label="Numbers have a decimal comma (1,5)" checked={plan.comma} onChange={(comma) => set({ comma })} />
        )}
      </section>
      <section class="card" aria-labelledby="target">
        <h2 id="target">3. Where to</h2>
        <Fault error={streams.error ?? devices.error} />
        <SelectField
          label="Stream"
          value={target}
          options={[[NEW, "A new stream"], ...known.map((stream) => [`${stream.device}/${stream.name}`, stream.nickname ? `${stream.nickname} (${stream.device})` : `${stream.device}/${stream.name}`] as const)]}
          onChange={(next) => {
            setTarget(next);
            const known = before.find(([one]) => one === `${user}/${next}`);
            if (known) setPlan(known[1]);
          }}
        />
        {recalled && <p class="help">As the last time, when a file with these columns went there.</p>}
        {target === NEW && (
          <div class="row">
            <SelectField label="Of the device" value={device} options={(devices.data ?? [{ name: "user" }]).filter(({ name: one }) => one !== "meta").map(({ name: one = "" }) => [one, one] as const)} onChange={setDevice} />
            <TextField label="Name of the new stream" value={name} onInput={setName} autocomplete="off" autocapitalize="none" spellcheck={false} fault={name ? wrongName : null} />
          </div>
        )}
      </section>
      {wrongColumns === null && (chosen ?? target === NEW) && (
        <Trial
          key={JSON.stringify([plan, target, device, name])}
          path={path}
          stream={chosen}
          verdicts={verdicts}
          wrongName={wrongName}
          onDone={() => (mappings.value = remember(mappings.value, path.join("/"), plan, sheet))}
        />
      )}
    </>
  );
}

function Preview({ sheet }: { sheet: Sheet }) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard
    <div class="scroll" role="region" tabIndex={0} aria-label="The first rows">
      <table class="values">
        <caption class="sr">The first rows</caption>
        <thead>
          <tr>
            {sheet.columns.map((column) => (
              <th scope="col" key={column}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {sheet.rows.slice(0, PREVIEW).map((row) => (
            <tr key={row.line}>
              {sheet.columns.map((column) => (
                <td key={column}>{valueText(row.cells[column], 60)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface Tried {
  readonly fresh: readonly Verdict[];
  readonly there: number;
  readonly late: number;
}

interface Sent {
  readonly stored: number;
  readonly refused: readonly { readonly line: number; readonly why: string }[];
}

/** What would happen, and then what did. */
function Trial({
  path,
  stream,
  verdicts,
  wrongName,
  onDone,
}: {
  path: StreamPath;
  stream: Stream | undefined;
  verdicts: readonly Verdict[];
  wrongName: string | null;
  onDone: () => void;
}) {
  const good = useMemo(() => verdicts.filter(({ fault }) => fault === null), [verdicts]);
  const bad = verdicts.length - good.length;
  const [tried, setTried] = useState<Tried | null>(null);
  const [sent, setSent] = useState<Sent | null>(null);
  const [part, setPart] = useState(0);
  const [made, setMade] = useState(false);
  const trial = useAction(async () => {
    setSent(null);
    setTried(await compare(path, stream !== undefined || made, good, setPart));
  });
  const upload = useAction(async () => {
    if (!tried) return;
    if (!stream && !made) {
      await createStream(path, { schema: JSON.stringify(schemaFor(good.map(({ d }) => d))) });
      setMade(true);
    }
    setSent(await sendAll(path, tried.fresh, setPart));
    setTried(null);
    onDone();
  });
  const fresh = useMemo(() => new Set(tried?.fresh), [tried]);
  return (
    <section class="card" aria-labelledby="trial">
      <h2 id="trial">4. Try, then upload</h2>
      <p>
        {good.length.toLocaleString("en")} of {verdicts.length.toLocaleString("en")} rows can be used
        {bad > 0 && `; ${bad.toLocaleString("en")} cannot, and would be left out`}.
      </p>
      <div class="actions">
        <button
          type="button"
          class={tried ? "" : "primary"}
          disabled={trial.busy || upload.busy || !good.length || wrongName !== null}
          onClick={() => void trial.run()}
        >
          {trial.busy ? "Trying…" : "Try, without storing anything"}
        </button>
        {tried && (
          <button type="button" class="primary" disabled={upload.busy || !tried.fresh.length} onClick={() => void upload.run()}>
            {upload.busy ? "Uploading…" : `Upload ${tried.fresh.length.toLocaleString("en")} values`}
          </button>
        )}
      </div>
      {wrongName !== null && <p class="field-fault">The new stream needs a name: {wrongName}</p>}
      {(trial.busy || upload.busy) && (
        <p>
          <progress max={1} value={part} aria-label={upload.busy ? "Uploading" : "Trying"} /> {Math.round(part * 100)} %
        </p>
      )}
      <Fault error={trial.error} />
      <Fault error={upload.error} retry={() => void upload.run()} />
      {tried && (
        <div role="status">
          <p>
            <strong>{tried.fresh.length.toLocaleString("en")} values would be added</strong> to {path.join("/")}
            {!stream && !made && ", which would be created"}
            {tried.there > 0 && `; ${tried.there.toLocaleString("en")} are there already, and would not be doubled`}
            {tried.late > 0 && `; ${tried.late.toLocaleString("en")} are older than the newest one there, and would go where they belong in time`}.
          </p>
        </div>
      )}
      {sent && (
        <div role="status">
          <p>
            <strong>{sent.stored.toLocaleString("en")} values were stored.</strong>
            {sent.refused.length > 0 && ` The server refused ${sent.refused.length.toLocaleString("en")}:`}
          </p>
          <ul>
            {sent.refused.slice(0, LISTED).map(({ line, why }) => (
              <li key={line}>
                Line {line}: {why}
              </li>
            ))}
          </ul>
          <LinkButton href={to("/u/{}/{}/{}", ...path) + "?range=all"} primary>
            Look at the stream
          </LinkButton>
        </div>
      )}
      <Lines verdicts={verdicts} fresh={tried ? fresh : null} />
    </section>
  );
}

function Lines({ verdicts, fresh }: { verdicts: readonly Verdict[]; fresh: ReadonlySet<Verdict> | null }) {
  const [faults, setFaults] = useState(false);
  const bad = verdicts.filter(({ fault }) => fault !== null);
  const shown = (faults ? bad : verdicts).slice(0, LISTED);
  return (
    <details open={bad.length > 0}>
      <summary>Line by line</summary>
      {bad.length > 0 && <CheckField label={`Only those that cannot be used (${bad.length.toLocaleString("en")})`} checked={faults} onChange={setFaults} />}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
      <div class="scroll" role="region" tabIndex={0} aria-label="Line by line">
        <table class="values">
          <caption class="sr">What happens to each line</caption>
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Time</th>
              <th scope="col">Value</th>
              <th scope="col">What happens</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((verdict) => (
              <tr key={verdict.line}>
                <th scope="row">{verdict.line}</th>
                <td>{verdict.fault === null || verdict.t ? timeText(verdict.t) : ""}</td>
                <td>{verdict.d === null ? "" : valueText(verdict.d as Json, 80)}</td>
                <td class={verdict.fault === null ? "" : "field-fault"}>
                  {verdict.fault === null ? (fresh && !fresh.has(verdict) ? "is there already" : "is added") : `is left out: ${verdict.fault}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {(faults ? bad : verdicts).length > LISTED && <p class="muted">These are the first {LISTED}.</p>}
    </details>
  );
}

function chunksOf<T>(items: readonly T[]): T[][] {
  const out: T[][] = [];
  for (let i = 0; i < items.length; i += CHUNK) out.push(items.slice(i, i + CHUNK));
  return out;
}

/** Which of the values are not in the stream yet. */
async function compare(path: StreamPath, exists: boolean, good: readonly Verdict[], tell: (part: number) => void): Promise<Tried> {
  if (!exists) return { fresh: good, there: 0, late: 0 };
  const inOrder = [...good].sort((a, b) => a.t - b.t);
  const newest = (await readPoints(path, { i1: -1 }))[0]?.t ?? -Infinity;
  const fresh: Verdict[] = [];
  const chunks = byTime(inOrder);
  for (const [i, chunk] of chunks.entries()) {
    tell(i / chunks.length);
    const [first, last] = [chunk[0]?.t ?? 0, chunk.at(-1)?.t ?? 0];
    const i1 = await indexAt(path, Math.max(0, first - 1e-6));
    const i2 = await indexAt(path, last);
    const there = i2 > i1 ? await readPoints(path, { i1, i2 }) : [];
    fresh.push(...missing(chunk, there));
  }
  tell(1);
  return { fresh, there: good.length - fresh.length, late: fresh.filter(({ t }) => t < newest).length };
}

/** In parts, each of which has all of the values of its times. */
function byTime(inOrder: readonly Verdict[]): Verdict[][] {
  const out: Verdict[][] = [];
  for (const chunk of chunksOf(inOrder)) {
    const last = out.at(-1);
    const edge = last?.at(-1)?.t;
    let i = 0;
    while (last && i < chunk.length && chunk[i]?.t === edge) last.push(chunk[i++] as Verdict);
    if (i < chunk.length) out.push(chunk.slice(i));
  }
  return out;
}

/** Each part is an upload with a name made of its content: one that is repeated is not stored again. */
async function sendAll(path: StreamPath, fresh: readonly Verdict[], tell: (part: number) => void): Promise<Sent> {
  const key = await keyOf(path);
  let stored = 0;
  const refused: { line: number; why: string }[] = [];
  const chunks = chunksOf(fresh);
  for (const [i, chunk] of chunks.entries()) {
    tell(i / chunks.length);
    const points = chunk.map(({ t, d }) => ({ t, d }));
    const name = `web-${digest(path.join("/") + JSON.stringify(points))}`;
    const report = await insertPoints(path, points, { source: name, first: 1, last: points.length }, key);
    stored += report.stored;
    for (const { position, msg } of report.refused ?? []) refused.push({ line: chunk[position]?.line ?? 0, why: msg });
  }
  tell(1);
  return { stored, refused };
}
