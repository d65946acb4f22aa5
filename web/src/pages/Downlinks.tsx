import { useState } from "preact/hooks";

import { listDevices, listUsers, listUserStreams, maySend, Problem, readUser, type Stream, type StreamPath } from "../api";
import { Control } from "../forms/Control";
import { to } from "../lib/router";
import { myName } from "../lib/session";
import { kept } from "../lib/settings";
import { Empty, Fault, Loading, Page } from "../ui/basics";
import { Boundary } from "../ui/Boundary";
import { Form, TextField } from "../ui/fields";
import { useAction, useLoad } from "../ui/hooks";
import { ObjectIcon } from "../ui/ObjectIcon";
import { plural } from "./User";

const USERS_MAX = 100;
const ASKED_MAX = 100;
const AT_ONCE = 4;
const SHOWN = 12;

/** Other users whose things one steers, of each who has signed in here: who may not list users has to name them. */
const named = kept<Readonly<Record<string, readonly string[]>>>("steered-users", {}, {
  type: "object",
  additionalProperties: { type: "array", items: { type: "string" } },
});

/** All that can be steered. */
export default function Downlinks() {
  const user = myName.value;
  const [others, setOthers] = useState((named.value[user] ?? []).length > 0);
  const found = useLoad(
    async (signal) => {
      const [streams, devices] = await Promise.all([
        listUserStreams(user, signal, { downlink: true }),
        listDevices(user, signal),
      ]);
      const names = new Map(devices.map((device) => [device.name, device.nickname || device.name]));
      return streams.map((stream) => ({ stream, device: names.get(stream.device) ?? "" }));
    },
    [user],
  );
  return (
    <Page title="Control">
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading />}
      {found.data?.length === 0 && (
        <Empty>
          <p>
            None of your devices takes commands yet. A stream does if “Takes commands” is set when it is edited: a lamp’s
            switch, a thermostat’s temperature.
          </p>
        </Empty>
      )}
      <div class="columns">
        {(found.data ?? []).map(({ stream, device }) => (
          <Steered key={`${stream.device}/${stream.name}`} path={[user, stream.device ?? "", stream.name ?? ""]} stream={stream} of={device} heading="h2" />
        ))}
      </div>
      <section aria-labelledby="others">
        <h2 id="others">Of other users</h2>
        {others ? (
          <Others key={user} user={user} />
        ) : (
          <button type="button" onClick={() => setOthers(true)}>
            Show what I may steer of other users
          </button>
        )}
      </section>
    </Page>
  );
}

function Steered({ path, stream, of, heading: Heading }: { path: StreamPath; stream: Stream; of: string; heading: "h2" | "h3" }) {
  const name = stream.nickname || path[2];
  return (
    <section class="card" aria-label={name}>
      <Heading class="with-icon">
        <ObjectIcon icon={stream.icon} name={name} size={36} />
        <a href={to("/u/{}/{}/{}", ...path)}>{name}</a>
        <span class="muted small">{of}</span>
      </Heading>
      <Boundary>
        <Control path={path} stream={stream} />
      </Boundary>
    </section>
  );
}

interface Found {
  readonly may: readonly { readonly path: StreamPath; readonly stream: Stream }[];
  /** What one sees and may not steer. */
  readonly not: readonly string[];
  /** How many were not asked about. */
  readonly left: number;
}

/** What one may steer of others, found by asking for each: it depends on the roles of both sides. */
async function findOthers(user: string, names: readonly string[], signal: AbortSignal): Promise<Found> {
  const owners = new Set(names);
  try {
    for (const { name = "" } of await listUsers(signal)) owners.add(name);
  } catch (error) {
    if (!(error instanceof Problem && (error.status === 403 || error.status === 404))) throw error;
  }
  owners.delete(user);
  const seen: { path: StreamPath; stream: Stream }[] = [];
  const asked = [...owners].slice(0, USERS_MAX);
  await each(asked, async (owner) => {
    try {
      for (const stream of await listUserStreams(owner, signal, { downlink: true }))
        seen.push({ path: [owner, stream.device ?? "", stream.name ?? ""], stream });
    } catch (error) {
      if (!(error instanceof Problem && (error.status === 403 || error.status === 404))) throw error;
    }
  });
  seen.sort((a, b) => (a.path.join("/") < b.path.join("/") ? -1 : 1));
  const may: Found["may"][number][] = [];
  const not: string[] = [];
  await each(seen.slice(0, ASKED_MAX), async (one) => {
    if (await maySend(one.path, signal)) may.push(one);
    else not.push(one.path.join("/"));
  });
  may.sort((a, b) => seen.indexOf(a) - seen.indexOf(b));
  return { may, not: not.sort(), left: Math.max(0, seen.length - ASKED_MAX) + owners.size - asked.length };
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const run = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, run));
}

function Others({ user }: { user: string }) {
  const names = named.value[user] ?? [];
  const found = useLoad((signal) => findOthers(user, names, signal), [user, names]);
  const [shown, setShown] = useState(SHOWN);
  const [name, setName] = useState("");
  const add = useAction(async () => {
    const wanted = name.trim();
    await readUser(wanted);
    named.value = { ...named.value, [user]: [...new Set([...names, wanted])].slice(-USERS_MAX) };
    setName("");
  });
  const { data } = found;
  return (
    <>
      <Fault error={found.error} retry={found.reload} />
      {found.loading && <Loading what="Looking" />}
      {data && (
        <p role="status" class={data.may.length ? "sr" : "muted"}>
          {data.may.length
            ? `${plural(data.may.length, "stream")} of other users can be steered.`
            : "There is nothing of other users that you may steer."}
        </p>
      )}
      <div class="columns">
        {data?.may.slice(0, shown).map(({ path, stream }) => (
          <Steered key={path.join("/")} path={path} stream={stream} of={`${path[0]}/${path[1]}`} heading="h3" />
        ))}
      </div>
      {data && data.may.length > shown && (
        <p>
          <button type="button" onClick={() => setShown(shown + SHOWN)}>
            Show more ({data.may.length - shown} not shown)
          </button>
        </p>
      )}
      {data && data.not.length > 0 && (
        <details>
          <summary>Seen, but not yours to steer ({data.not.length})</summary>
          <p class="small">
            The roles do not permit it:{" "}
            {data.not.map((path, i) => (
              <span key={path}>
                {i > 0 && ", "}
                <a href={`/u/${path.split("/").map(encodeURIComponent).join("/")}`}>{path}</a>
              </span>
            ))}
          </p>
        </details>
      )}
      {data && data.left > 0 && <p class="muted small">{data.left} more were not looked at.</p>}
      <Fault error={add.error} />
      <div class="narrow">
        <Form submit="Look there too" busy={add.busy} busyText="Looking" label="Another user" disabled={!name.trim()} onSubmit={() => void add.run()}>
          <TextField label="Name of another user" value={name} onInput={setName} autocomplete="off" autocapitalize="none" spellcheck={false} />
        </Form>
      </div>
      {names.length > 0 && (
        <p class="small muted">
          Looked at because you named them:{" "}
          {names.map((one) => (
            <button
              type="button"
              class="plain"
              key={one}
              aria-label={`Do not look at ${one} any more`}
              onClick={() => (named.value = { ...named.value, [user]: names.filter((other) => other !== one) })}
            >
              {one} ×
            </button>
          ))}
        </p>
      )}
    </>
  );
}
