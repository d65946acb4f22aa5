import { useEffect, useRef, useState } from "preact/hooks";

import { isUnsure, listDownlinks, newKey, readDownlink, readPoints, sendDownlink, type Downlink, type Json, type Stream, type StreamPath } from "../api";
import { isFinal, LIFETIMES, STATE_WORDS, watchDownlink } from "../lib/commands";
import { follow } from "../lib/live";
import { parseSchema } from "../lib/schema";
import { session } from "../lib/session";
import { agoText, timeText } from "../lib/time";
import { valueText } from "../plots/kinds";
import { Fault } from "../ui/basics";
import { useAction, useId, useLoad, useNow } from "../ui/hooks";
import { draftFault, ValueField, widgetOf, type Draft } from "./ValueField";

const SHOWN = 5;
const AGAIN_MS = 120_000;

const wordOf = (value: Json): string => (typeof value === "boolean" ? (value ? "on" : "off") : valueText(value, 60));

/** Steers a stream that takes commands: what it is now, a control to change it, and what became of each command. */
export function Control({ path, stream }: { path: StreamPath; stream: Stream }) {
  const key = path.join("/");
  const schema = parseSchema(stream.schema);
  const name = stream.nickname || path[2];
  const at = useNow(5000);
  const [revision, setRevision] = useState(0);
  const current = useLoad(async (signal) => (await readPoints(path, { i1: -1 }, signal))[0] ?? null, [key], revision);
  const shown = useRef(current);
  shown.current = current;
  const listed = useLoad((signal) => listDownlinks(path, SHOWN, signal), [key]);
  const [changed, setChanged] = useState<Readonly<Record<number, Downlink>>>({});
  const [draft, setDraft] = useState<Draft>(undefined);
  const latest = useRef(draft);
  latest.current = draft;
  const [touched, setTouched] = useState(false);
  const [tried, setTried] = useState(false);
  const [round, setRound] = useState(0);
  const [lifetime, setLifetime] = useState("");
  const lifetimeId = useId("lifetime");
  const ended = useRef(new AbortController());
  useEffect(() => {
    ended.current = new AbortController();
    const { current: controller } = ended;
    const ends = [
      follow(key, ({ points }) => {
        const last = points.at(-1);
        const { data, loading, set } = shown.current;
        // What comes late, or is corrected, leaves open which one is the newest now.
        if (last && data !== undefined && !loading && last.t >= (data?.t ?? -Infinity)) set(last);
        else setRevision((n) => n + 1);
      }),
    ];
    // Commands that others give. Who looks at the commands to its own device would take them, for the server.
    const me = session.value;
    if (!(me.state === "user" && path[0] === me.name && path[1] === me.device)) ends.push(follow(`${key}/downlink`, listed.reload));
    return () => {
      controller.abort();
      for (const end of ends) end();
    };
  }, [key]);

  const note = (downlink: Downlink): void => setChanged((was) => ({ ...was, [downlink.id]: downlink }));
  const watch = (downlink: Downlink): void => {
    if (isFinal(downlink) || watched.current.has(downlink.id)) return;
    watched.current.add(downlink.id);
    const read = (wait: number, signal: AbortSignal): Promise<Downlink> => readDownlink(path, downlink.id, wait, signal);
    void watchDownlink(downlink, read, note, ended.current.signal);
  };
  const watched = useRef(new Set<number>());
  useEffect(() => {
    for (const downlink of listed.data ?? []) watch(downlink);
  }, [listed.data]);

  // Who presses again because no answer came does not mean it twice; after a while, that may be.
  const unanswered = useRef<{ readonly what: string; readonly key: string; readonly until: number } | null>(null);
  const send = useAction(async (value: Json) => {
    const what = JSON.stringify([value, lifetime]);
    const before = unanswered.current;
    const key = before?.what === what && Date.now() < before.until ? before.key : newKey();
    unanswered.current = { what, key, until: Date.now() + AGAIN_MS };
    let sent: Downlink;
    try {
      sent = await sendDownlink(path, value, { supersede: true, key, ...(lifetime && { expires: Number(lifetime) }) });
    } catch (error) {
      if (!isUnsure(error)) unanswered.current = null;
      throw error;
    }
    unanswered.current = null;
    note(sent);
    watch(sent);
    // What it takes the place of has another state now.
    listed.reload();
    setTried(false);
    // What has been typed while that was under way is for another command.
    if (latest.current !== draft) return;
    setDraft(undefined);
    setTouched(false);
    setRound((n) => n + 1);
  });

  const known = new Map<number, Downlink>();
  for (const downlink of listed.data ?? []) known.set(downlink.id, downlink);
  for (const downlink of Object.values(changed)) {
    const listedOne = known.get(downlink.id);
    if (!listedOne || !isFinal(listedOne)) known.set(downlink.id, downlink);
  }
  const newest = [...known.values()].sort((a, b) => b.id - a.id).slice(0, SHOWN);
  const pending = newest.find((downlink) => !isFinal(downlink));
  const now = current.data?.d;
  const toggle = widgetOf(schema) === "yesno";
  // A slider stands where it is, or has been asked to be, until somebody moves it.
  const from = (pending ? pending.d : now) as Json | undefined;
  const stands = !touched && widgetOf(schema) === "slider" && from !== undefined && draftFault(from, schema) === null;
  const chosen = stands ? from : draft;
  return (
    <div class="control">
      <Fault error={send.error} />
      <p class="muted">
        {current.data ? (
          <>
            Now: <strong>{wordOf(current.data.d)}</strong> ({agoText(current.data.t, at)})
          </>
        ) : current.data === null ? (
          "The device has not said yet how it is."
        ) : (
          " "
        )}
      </p>
      {/* Who presses has to know what that would change. */}
      {current.data === undefined || listed.data === undefined ? null : toggle ? (
        <div class="buttons">
          <Switch label={name} on={from === true} pending={pending !== undefined} onChange={(on) => void send.run(on)} />
          {from === undefined && (
            <button type="button" disabled={send.busy} onClick={() => void send.run(false)}>
              Turn off<span class="sr"> {name}</span>
            </button>
          )}
        </div>
      ) : (
        <form
          noValidate
          aria-label={`Command to ${name}`}
          onSubmit={(event) => {
            event.preventDefault();
            setTried(true);
            if (chosen !== undefined && draftFault(chosen, schema) === null) void send.run(chosen);
          }}
        >
          <ValueField
            key={round}
            schema={schema}
            label={name}
            quiet
            value={chosen}
            onChange={(value) => {
              setTouched(true);
              setDraft(value);
            }}
            datatype={stream.datatype ?? ""}
            fault={tried ? draftFault(chosen, schema) : null}
          />
          <button type="submit" class="primary" disabled={send.busy}>
            Send<span class="sr"> to {name}</span>
          </button>
        </form>
      )}
      <p class="lifetime small muted">
        <label for={lifetimeId}>
          Valid<span class="sr"> for the command to {name}</span>
        </label>
        <select id={lifetimeId} value={lifetime} onChange={(event) => setLifetime(event.currentTarget.value)}>
          {LIFETIMES.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </p>
      <Fault error={current.error} retry={current.reload} />
      <Fault error={listed.error} retry={listed.reload} />
      {newest.length > 0 && (
        <ul class="commands" aria-label={`Commands to ${name}`} aria-live="polite">
          {newest.map((downlink) => (
            <li key={downlink.id} class={`command ${downlink.state}`}>
              <strong>{wordOf(downlink.d as Json)}</strong>: {STATE_WORDS[downlink.state]}
              {downlink.msg && ` (${downlink.msg})`}
              <span class="muted small">
                {" "}
                <time dateTime={new Date(downlink.t * 1000).toISOString()} title={timeText(downlink.t)}>
                  {agoText(downlink.t, at)}
                </time>
                {downlink.state === "queued" && `, expires ${agoText(downlink.expires, at)}`}
              </span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Switch({ label, on, pending, onChange }: { label: string; on: boolean; pending: boolean; onChange: (on: boolean) => void }) {
  const id = useId("switch");
  return (
    <div class="switch-row">
      <button
        id={id}
        type="button"
        role="switch"
        aria-checked={on}
        aria-label={label}
        class={pending ? "switch pending" : "switch"}
        onClick={() => onChange(!on)}
      >
        <span class="knob" aria-hidden="true" />
      </button>
      <span aria-hidden="true">{on ? "On" : "Off"}</span>
    </div>
  );
}
