import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { countPoints, downloadUrl, Problem, queried, readPoints, readStream, request, type Format, type StreamPath } from "../api";
import { Control } from "../forms/Control";
import { EntryForm } from "../forms/EntryForm";
import { connection } from "../lib/live";
import { isPinned, togglePin } from "../lib/pins";
import { place, setQuery, to } from "../lib/router";
import { myName } from "../lib/session";
import { parseSchema, schemaWords } from "../lib/schema";
import { agoText } from "../lib/time";
import { RangeBar } from "../plots/RangeBar";
import { VIEW_NAMES } from "../plots/kinds";
import type { Span } from "../plots/range";
import { lookOf, queryOf, StreamView, type Look, type Seen } from "../plots/StreamView";
import { copy, Empty, Fault, LinkButton, Loading, Page } from "../ui/basics";
import { SelectField } from "../ui/fields";
import { useLoad, useNow, usePressedShown } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { notify } from "../ui/notices";
import { ObjectIcon } from "../ui/ObjectIcon";
import { ScriptField } from "../ui/ScriptField";
import { Corrections } from "./Corrections";
import { crumbsOf } from "./Device";
import { plural } from "./User";

const ADDRESS_MS = 300;

/** A stream: what is in it, and what can be done with it. */
export default function StreamPage({ user, device, stream }: { user: string; device: string; stream: string }) {
  const path = useMemo<StreamPath>(() => [user, device, stream], [user, device, stream]);
  const found = useLoad((signal) => readStream(path, signal), [user, device, stream]);
  const count = useLoad((signal) => countPoints(path, false, signal), [user, device, stream]);
  const [round, setRound] = useState(0);
  const [history, setHistory] = useState(false);
  const [seen, setSeen] = useState<Seen | null>(null);
  const [moving, setMoving] = useState<Span | null>(null);
  const [save, setSave] = useState<{ readonly run: ((name: string) => void) | null }>({ run: null });
  const at = useNow(10_000);
  const reread = (): void => {
    count.reload();
    setRound((n) => n + 1);
  };
  const { query } = place.value;
  const asked = lookOf(query);
  const look: Look = moving ? { ...asked, range: "exact", ...moving } : asked;
  const change = (changes: Partial<Look>): void => {
    setMoving(null);
    setQuery(queryOf({ ...look, ...changes }));
  };
  // While one moves, the address waits: it is of use only when one has arrived.
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const show = (span: Span): void => {
    setMoving(span);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      setQuery(queryOf({ ...lookOf(place.value.query), range: "exact", ...span }));
      setMoving(null);
    }, ADDRESS_MS);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const { data } = found;
  if (found.error !== undefined)
    return (
      <Page title={`${user}/${device}/${stream}`} crumbs={crumbsOf(user, device)}>
        <Fault error={found.error} retry={found.reload} />
      </Page>
    );
  if (!data) return <Loading />;
  const name = data.nickname || stream;
  const pin = { title: name, path: [user, device, stream] as const, query: query.toString() };
  const live = connection.value;
  return (
    <Page
      title={name}
      crumbs={crumbsOf(user, device)}
      lead={
        <div class="about">
          <ObjectIcon icon={data.icon} name={name} size={48} />
          <div>
            <p>
              <code>
                {user}/{device}/{stream}
              </code>
              <br />
              <span class="muted">
                {schemaWords(parseSchema(data.schema))}
                {count.data !== undefined && `, ${plural(count.data, "value")}`}
                {seen?.newest && `, the newest ${agoText(seen.newest.t, at)}`}
              </span>
            </p>
            {data.description && <p class="description">{data.description}</p>}
          </div>
        </div>
      }
      actions={
        <LinkButton href={to("/edit/stream/{}/{}/{}", user, device, stream)} icon="edit">
          Edit
        </LinkButton>
      }
    >
      {data.downlink && (
        <section class="card" aria-labelledby="control">
          <h2 id="control">Control</h2>
          <Control path={path} stream={data} />
        </section>
      )}
      <section class="card" aria-label="Data">
        {seen?.empty === true && (
          <Empty>
            <p>
              There is nothing in this stream yet. {live === "live" && "What comes will be seen here at once."}
            </p>
          </Empty>
        )}
        {seen?.empty === false && (
          <>
            <Views path={path} seen={seen} look={look} onChange={change} />
            <RangeBar
              span={seen.span}
              current={look.range}
              onSpan={(span) => {
                setMoving(null);
                clearTimeout(timer.current);
                setQuery(queryOf({ ...asked, range: "exact", ...span }));
              }}
              onRange={(range) => change({ range })}
            />
          </>
        )}
        <StreamView
          path={path}
          stream={data}
          look={look}
          onSpan={show}
          onSeen={setSeen}
          onOther={(other) => change({ other })}
          saveAs={(run) => setSave({ run })}
          onReread={reread}
          correctable
        />
        {seen?.empty === false && (
          <div class="below">
            <Live state={live} />
            <div class="actions">
              <button
                type="button"
                onClick={() => {
                  const exact = new URL(window.location.href);
                  for (const [key, value] of Object.entries(queryOf({ ...look, view: seen.view, range: "exact", ...seen.span }))) {
                    if (value === null) exact.searchParams.delete(key);
                    else exact.searchParams.set(key, value);
                  }
                  void copy(exact.href).then((done) =>
                    notify(done ? "Copied: a link to exactly this view." : `The link: ${exact.href}`),
                  );
                }}
              >
                <Icon name="link" /> <span>Copy a link to this view</span>
              </button>
              <button
                type="button"
                aria-pressed={isPinned(pin)}
                onClick={() => notify(togglePin(pin) ? "Pinned: it is on the home page now." : "It is not on the home page any more.")}
              >
                <Icon name="pin" /> <span>{isPinned(pin) ? "On the home page" : "Pin to the home page"}</span>
              </button>
            </div>
            <Downloads path={path} seen={seen} save={save.run} name={`${user}-${device}-${stream}`} />
          </div>
        )}
      </section>
      <details class="card" open={device === "user" && user === myName.value}>
        <summary>Add a value by hand</summary>
        <EntryForm path={path} stream={data} />
      </details>
      {!data.ephemeral && (
        <details class="card" onToggle={(event) => setHistory(event.currentTarget.open)}>
          <summary>Corrections</summary>
          {history && <Corrections path={path} revision={round} />}
        </details>
      )}
    </Page>
  );
}

function Views({ path, seen, look, onChange }: { path: StreamPath; seen: Seen; look: Look; onChange: (changes: Partial<Look>) => void }) {
  const [more, setMore] = useState(look.transform !== "" || look.gap !== "");
  const [script, setScript] = useState(look.transform);
  const shownAs = usePressedShown(seen.view);
  // What fields there are is not known any more once one of them has been taken.
  const fields = useRef<readonly string[]>([]);
  if (seen.script === "") fields.current = [...seen.nature.numbers, ...seen.nature.others];
  return (
    <div>
      <div class="segments" ref={shownAs} role="group" aria-label="Show as">
        {seen.views.map((view) => (
          <button key={view} type="button" aria-pressed={seen.view === view} onClick={() => onChange({ view })}>
            {VIEW_NAMES[view]}
          </button>
        ))}
        <button type="button" class="plain" aria-expanded={more} onClick={() => setMore(!more)}>
          More…
        </button>
      </div>
      {(fields.current.length > 0 || look.field) && (
        <SelectField
          label="Of the objects"
          value={look.field}
          options={[["", "all of it"], ...[...new Set([...fields.current, ...(look.field ? [look.field] : [])])].map((name) => [name, name] as const)]}
          onChange={(field) => onChange({ field, view: "" })}
        />
      )}
      {more && (
        <div class="row more">
          <form
            class="field"
            onSubmit={(event) => {
              event.preventDefault();
              onChange({ transform: script.trim(), view: "" });
            }}
          >
            <ScriptField
              label="Transform (PipeScript)"
              value={script}
              onInput={setScript}
              check={(text, signal) => readPoints(path, { i1: 0, i2: 1, transform: text }, signal)}
            />
            <button type="submit">Apply</button>
          </form>
          {seen.view === "line" && (
            <SelectField
              label="Draw a gap"
              value={look.gap}
              options={[
                ["", "where nothing came for unusually long"],
                ["3600", "after an hour without a value"],
                ["86400", "after a day without a value"],
                ["never", "never"],
              ]}
              onChange={(gap) => onChange({ gap })}
            />
          )}
        </div>
      )}
    </div>
  );
}

function Live({ state }: { state: "off" | "waiting" | "live" }) {
  return (
    <p class={`live ${state}`} role="status">
      <span class="dot" aria-hidden="true" />
      {state === "live" ? "Live: what is written is seen at once." : "Not live: there is no connection to the server. Trying again…"}
    </p>
  );
}

const FORMATS: readonly (readonly [Format, string])[] = [
  ["csv", "CSV"],
  ["json", "JSON"],
  ["parquet", "Parquet"],
];

function Downloads({ path, seen, save, name }: { path: StreamPath; seen: Seen; save: ((name: string) => void) | null; name: string }) {
  const script = seen.script ? { transform: seen.script } : {};
  const view = { ...queried(seen.span), ...script };
  const [open, setOpen] = useState(false);
  // A server may lack what Parquet needs; it says so when it is asked.
  const lacking = useLoad(
    async (signal) => {
      if (!open) return null;
      try {
        await request("get", "/api/v1/crud/{user}/{device}/{stream}/data", {
          path: { user: path[0], device: path[1], stream: path[2] },
          query: { i1: 0, i2: 1, format: "parquet" },
          signal,
        });
        return null;
      } catch (error) {
        return error instanceof Problem && error.status === 501 ? error.message : null;
      }
    },
    [open, name],
  ).data;
  const formats = lacking ? FORMATS.filter(([format]) => format !== "parquet") : FORMATS;
  return (
    <details class="downloads" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Download</summary>
      {lacking && <p class="small muted">No Parquet: {lacking}</p>}
      <dl>
        <dt>What is in view</dt>
        <dd class="actions">
          {formats.map(([format, text]) => (
            <a key={format} class="button" href={downloadUrl(path, view, format)} download={`${name}.${format}`}>
              {text}
              <span class="sr"> of what is in view</span>
            </a>
          ))}
          {save && (
            <button type="button" onClick={() => save(`${name}.png`)}>
              PNG<span class="sr"> picture of the plot</span>
            </button>
          )}
        </dd>
        <dt>All of the stream</dt>
        <dd class="actions">
          {formats.map(([format, text]) => (
            <a key={format} class="button" href={downloadUrl(path, { i1: 0, ...script }, format)} download={`${name}.${format}`}>
              {text}
              <span class="sr"> of all</span>
            </a>
          ))}
        </dd>
      </dl>
    </details>
  );
}
