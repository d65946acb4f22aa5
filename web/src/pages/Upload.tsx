import { useMemo, useState } from "preact/hooks";

import { listDevices, listUserStreams, type StreamPath } from "../api";
import { TIME_FORMATS, type TimeFormat } from "../lib/filetimes";
import { nameFault, nameOf } from "../lib/names";
import { isPinStream } from "../lib/pins";
import { parseSchema } from "../lib/schema";
import { myName } from "../lib/session";
import { kept } from "../lib/settings";
import { zone } from "../lib/time";
import { cellOf, readSheet, type Sheet } from "../lib/sheet";
import { alikeIn, guessPlan, judge, NUMBER_FORMATS, remember, type Mapping, type NumberFormat, type Plan } from "../lib/upload";
import { valueText } from "../plots/kinds";
import { Fault, Page } from "../ui/basics";
import { AreaField, CheckField, SelectField, TextField } from "../ui/fields";
import { useAction, useId, useLoad } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { useUnsaved } from "../ui/useForm";
import { Trial } from "./UploadTrial";

const PREVIEW = 5;
const TEXT_MAX = 200_000_000;
const NEW = "new";

/** How files were read that were uploaded last, by the path of the stream. */
const mappings = kept<Readonly<Record<string, Mapping>>>("mappings", {});

/** Brings data from a file into a stream. */
export default function Upload() {
  const [{ text, source, round }, setGiven] = useState({ text: "", source: "", round: 0 });
  /** What the person says of the first line; null: nothing. */
  const [titled, setTitled] = useState<boolean | null>(null);
  const give = (text: string, source = ""): void => {
    setGiven((was) => ({ text, source, round: was.round + 1 }));
    setTitled(null);
  };
  const [uploaded, setUploaded] = useState(0);
  const [over, setOver] = useState(false);
  const file = useId();
  // A file can be chosen again.
  useUnsaved(text.trim() !== "" && source === "" && uploaded !== round);
  const read = useMemo((): { sheet?: Sheet; error?: unknown } => {
    if (!text.trim()) return {};
    try {
      return { sheet: readSheet(text, titled) };
    } catch (error) {
      return { error };
    }
  }, [text, titled]);
  const take = useAction(async (chosen: File) => {
    if (chosen.size > TEXT_MAX) throw new Error(`${chosen.name} is larger than 200 MB: use connectordb import or a program of your own for it.`);
    give(await chosen.text(), chosen.name);
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
            onInput={(value) => give(value)}
            fault={read.error instanceof Error ? read.error.message : null}
          />
        ) : (
          <>
            <p>
              {source || "What was pasted"}: {(text.length / 1e6).toFixed(1)} million characters.{" "}
              <button type="button" onClick={() => give("")}>
                Take it away
              </button>
            </p>
            <Fault error={read.error} />
          </>
        )}
      </section>
      {read.sheet && <Steps key={`${round} ${titled}`} sheet={read.sheet} source={source} onTitled={setTitled} onDone={() => setUploaded(round)} />}
    </Page>
  );
}

function Steps({ sheet, source, onTitled, onDone }: { sheet: Sheet; source: string; onTitled: (isTitled: boolean) => void; onDone: () => void }) {
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
        {sheet.kind === "csv" ? (
          <>
            <SelectField<NumberFormat> label="Numbers look like" value={plan.numbers} options={NUMBER_FORMATS} onChange={(numbers) => set({ numbers })} />
            <CheckField label="The first line has the names of the columns" checked={sheet.isTitled} onChange={onTitled} />
          </>
        ) : (
          <CheckField label="Take texts that are numbers (“21.5”) as numbers" checked={plan.unquote} onChange={(unquote) => set({ unquote })} />
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
          onDone={() => {
            mappings.value = remember(mappings.value, path.join("/"), plan, sheet);
            onDone();
          }}
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
                <td key={column}>{valueText(cellOf(row, column), 60)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
