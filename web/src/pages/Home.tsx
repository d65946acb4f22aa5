import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { isNumber, listDevices, listUserStreams, Problem, readPoints, readStream, type Device, type Json, type Point, type Stream } from "../api";
import { EntryForm } from "../forms/EntryForm";
import { follow } from "../lib/live";
import { discard, flush, outbox } from "../lib/outbox";
import { followPins, isPinStream, pins, togglePin, type Pin } from "../lib/pins";
import { whenBack } from "../lib/reach";
import { to } from "../lib/router";
import { quietStreams, silentDevices, type Newest } from "../lib/silence";
import { lastSeen, myName, session } from "../lib/session";
import { agoText, durationText, timeText } from "../lib/time";
import { numberText, valueText } from "../plots/kinds";
import { Spark } from "../plots/Single";
import { lookOf, StreamView } from "../plots/StreamView";
import { Empty, Fault, LinkButton, Loading, Page } from "../ui/basics";
import { Boundary } from "../ui/Boundary";
import { useLoad, useNow } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { ObjectIcon } from "../ui/ObjectIcon";

const RECENT = 40;
const AT_ONCE = 4;
const SHOWN = 24;
const INPUTS = 9;
const REREAD_MS = 300_000;

/** What to enter, what is new, what is wrong, and what one has pinned. */
export default function Home() {
  const user = myName.value;
  const found = useLoad(
    async (signal) => {
      try {
        const [streams, devices] = await Promise.all([listUserStreams(user, signal, { newest: true }), listDevices(user, signal)]);
        const inputs = streams.filter(isInput).slice(0, 50);
        lastSeen.value = { ...lastSeen.value, user, inputs };
        return { streams, devices, offline: false };
      } catch (error) {
        if (!(error instanceof Problem && error.offline) || lastSeen.value.user !== user) throw error;
        const inputs = lastSeen.value.inputs ?? [];
        return { streams: inputs, devices: [], offline: true };
      }
    },
    [user],
  );
  useEffect(() => followPins(user), [user]);
  useEffect(() => {
    // Silence is not heard: it has to be looked for.
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") found.reload();
    }, REREAD_MS);
    return () => clearInterval(timer);
  }, []);
  const { data } = found;
  const inputs = (data?.streams ?? []).filter(isInput);
  const [all, setAll] = useState(false);
  useEffect(() => (data?.offline ? whenBack(found.reload) : undefined), [data]);
  const nickname = session.value.state === "user" ? session.value.user.nickname : "";
  return (
    <Page title="Home" lead={nickname ? <p class="sr">{nickname}</p> : undefined}>
      <Fault error={found.error} retry={found.reload} />
      {data?.offline && (
        <p class="notice-line" role="status">
          <Icon name="off" /> The server cannot be reached. What you enter is kept on this device, and sent later.{" "}
          <button type="button" onClick={found.reload}>
            Try again
          </button>
        </p>
      )}
      <Boundary>
        <Waiting />
      </Boundary>
      {found.loading && !data && <Loading />}
      {data && data.streams.every(({ device }) => device === "meta") && !data.offline && <Beginning user={user} />}
      {inputs.length > 0 && (
        <section aria-labelledby="enter">
          <h2 id="enter">Enter</h2>
          <div class="columns">
            {(all ? inputs : inputs.slice(0, INPUTS)).map((stream) => (
              <div class="card" key={stream.name}>
                <Boundary>
                  <h3 class="with-icon">
                    <ObjectIcon icon={stream.icon} name={stream.nickname || stream.name || "?"} size={32} />
                    <a href={to("/u/{}/{}/{}", user, stream.device ?? "", stream.name ?? "")}>{stream.nickname || stream.name}</a>
                  </h3>
                  <EntryForm path={[user, stream.device ?? "", stream.name ?? ""]} stream={stream} quiet />
                </Boundary>
              </div>
            ))}
          </div>
          {inputs.length > INPUTS && !all && (
            <p>
              <button type="button" onClick={() => setAll(true)}>
                Show all {inputs.length}
              </button>
            </p>
          )}
        </section>
      )}
      {data && !data.offline && (
        <Boundary>
          <Values user={user} streams={data.streams} devices={data.devices} />
        </Boundary>
      )}
      {pins.value.length > 0 && (
        <section aria-labelledby="pinned">
          <h2 id="pinned">Pinned</h2>
          <div class="columns pins">
            {pins.value.map((pin) => (
              <Pinned key={`${pin.path.join("/")}?${pin.query}`} pin={pin} />
            ))}
          </div>
        </section>
      )}
    </Page>
  );
}

/** A stream that a person is to fill: those of the person's own device. */
const isInput = (stream: Stream): boolean => stream.device === "user" && !stream.ephemeral && !isPinStream(stream);

function Beginning({ user }: { user: string }) {
  return (
    <Empty>
      <h2>Where to begin</h2>
      <p>Make a stream to fill by hand, such as your mood or your weight; or a device that measures by itself.</p>
      <div class="actions">
        <LinkButton href={to("/new/stream/{}/{}", user, "user")} icon="plus" primary>
          Something to enter by hand
        </LinkButton>
        <LinkButton href={to("/new/device/{}", user)} icon="plus">
          A device
        </LinkButton>
      </div>
    </Empty>
  );
}

/** What has been entered, and is not on the server yet. */
function Waiting() {
  const waiting = outbox.value.filter((entry) => entry.user === myName.value);
  if (!waiting.length) return null;
  return (
    <section class="card" aria-labelledby="waiting">
      <h2 id="waiting">Not sent yet</h2>
      <ul>
        {waiting.map((entry) => (
          <li key={entry.id}>
            {entry.title}: {valueText(entry.d, 60)} ({timeText(entry.t, { seconds: false })})
            {entry.refused !== undefined && (
              <>
                <span class="field-fault"> The server refused it: {entry.refused}</span>{" "}
                <button type="button" onClick={() => discard(entry.id)}>
                  Discard<span class="sr"> {entry.title}</span>
                </button>
              </>
            )}
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => void flush(true)}>
        Send now
      </button>
    </section>
  );
}

/** What has come since it was read, by path. */
type Fresh = Readonly<Record<string, readonly Point[]>>;

function without(points: readonly Point[], known: readonly Point[] = []): readonly Point[] {
  const left = new Set(known);
  return points.filter((point) => !left.has(point));
}

function Values({ user, streams, devices }: { user: string; streams: readonly Stream[]; devices: readonly Device[] }) {
  const spoken = useMemo(() => {
    const hidden = new Set(devices.filter((device) => device.visible === false).map((device) => device.name));
    return streams
      .filter((stream) => !isInput(stream) && !isPinStream(stream) && !hidden.has(stream.device) && stream.newest !== undefined)
      .sort((a, b) => (b.newest ?? 0) - (a.newest ?? 0));
  }, [streams, devices]);
  const read = useMemo(() => [...new Set([...spoken.slice(0, SHOWN), ...quietStreams(spoken)])], [spoken]);
  const shown = useRef<ReadonlySet<string>>(new Set());
  shown.current = useMemo(() => new Set(read.map((stream) => `${user}/${stream.device}/${stream.name}`)), [user, read]);
  const [fresh, setFresh] = useState<Fresh>({});
  const came = useRef(fresh);
  came.current = fresh;
  const found = useLoad(
    async (signal) => {
      const before = came.current;
      const out: Newest[] = [];
      const left = [...read];
      const work = async (): Promise<void> => {
        for (let stream = left.shift(); stream; stream = left.shift()) {
          const points = await readPoints([user, stream.device ?? "", stream.name ?? ""], { i1: -RECENT }, signal);
          out.push({ stream, points });
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      // What had come before is among what has been read.
      setFresh((was) => Object.fromEntries(Object.entries(was).map(([key, points]) => [key, without(points, before[key])])));
      return out;
    },
    [user, read.map((stream) => `${stream.device}/${stream.name}`).sort()],
  );
  useEffect(
    () =>
      follow(`${user}/*/*`, ({ stream, points, corrected, begun }) => {
        if (corrected || begun) found.reload();
        // Of tens of thousands of streams that write, few are shown.
        if (points.length && shown.current.has(stream)) setFresh((was) => ({ ...was, [stream]: [...(was[stream] ?? []), ...points].slice(-RECENT) }));
      }),
    [user],
  );
  const at = useNow(10_000);
  if (!spoken.length) return null;
  const values = (found.data ?? [])
    .map(({ stream, points }) => {
      const key = `${user}/${stream.device}/${stream.name}`;
      return { stream, points: [...points, ...(fresh[key] ?? [])].sort((a, b) => a.t - b.t).slice(-RECENT) };
    })
    .filter(({ points }) => points.length)
    .sort((a, b) => (b.points.at(-1)?.t ?? 0) - (a.points.at(-1)?.t ?? 0));
  const silent = silentDevices(devices, values, at);
  const deviceNames = new Map(devices.map((device) => [device.name, device.nickname || device.name]));
  return (
    <>
      <Fault error={found.error} retry={found.reload} />
      {silent.length > 0 && (
        <section aria-labelledby="silent">
          <h2 id="silent">Gone silent</h2>
          <ul class="tiles">
            {silent.map(({ device, last, usual }) => (
              <li class="tile silent" key={device.name}>
                <a class="tile-link" href={to("/u/{}/{}", user, device.name ?? "")}>
                  <ObjectIcon icon={device.icon} name={device.nickname || device.name || "?"} />
                  <span class="tile-words">
                    <span class="tile-name">{device.nickname || device.name}</span>
                    <span class="tile-note">
                      Nothing for {durationText(at - last)}; usually something comes every {durationText(usual)}.
                    </span>
                  </span>
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="newest">
        <h2 id="newest">Newest values</h2>
        {found.loading && !found.data && <Loading what="Reading" />}
        {found.data && values.length === 0 && <p class="muted">Your devices have not written anything yet.</p>}
        <ul class="tiles">
          {values.slice(0, SHOWN).map(({ stream, points }) => {
            const last = points.at(-1);
            const name = stream.nickname || stream.name || "";
            return (
              <li class="tile" key={`${stream.device}/${stream.name}`}>
                <Boundary>
                  <a class="tile-link" href={to("/u/{}/{}/{}", user, stream.device ?? "", stream.name ?? "")}>
                    <ObjectIcon icon={stream.icon} name={name} />
                    <span class="tile-words">
                      <span class="tile-note">
                        {deviceNames.get(stream.device) ?? stream.device}: {name}
                      </span>
                      <span class="tile-name">{last && shortText(last)}</span>
                      <span class="tile-note">{last && agoText(last.t, at)}</span>
                    </span>
                  </a>
                  <Spark points={points} />
                </Boundary>
              </li>
            );
          })}
        </ul>
      </section>
    </>
  );
}

function shortText({ d }: Point): string {
  if (isNumber(d)) return numberText(d);
  if (typeof d === "boolean") return d ? "yes" : "no";
  if (typeof d === "object" && d !== null && !Array.isArray(d))
    return Object.entries(d)
      .map(([name, part]) => `${name} ${isNumber(part) ? numberText(part) : valueText(part, 20)}`)
      .slice(0, 3)
      .join(", ");
  if (Array.isArray(d)) return valueText((d as readonly Json[]).map((part) => (typeof part === "number" ? Number(part.toPrecision(6)) : part)), 60);
  return valueText(d, 60);
}

function Pinned({ pin }: { pin: Pin }) {
  const query = pin.query ? `?${pin.query}` : "";
  return (
    <div class="card">
      <div class="pin-title">
        <h3>
          <a href={to("/u/{}/{}/{}", ...pin.path) + query}>{pin.title || pin.path[2]}</a>
        </h3>
        <button type="button" class="plain" aria-label={`Unpin ${pin.title || pin.path[2]}`} title="Unpin" onClick={() => togglePin(pin)}>
          <Icon name="close" size={16} />
        </button>
      </div>
      <Boundary>
        <PinnedPlot pin={pin} />
      </Boundary>
    </div>
  );
}

function PinnedPlot({ pin }: { pin: Pin }) {
  const stream = useLoad((signal) => readStream(pin.path, signal), [pin.path]);
  const look = useMemo(() => lookOf(new URLSearchParams(pin.query)), [pin.query]);
  const [moved, setMoved] = useState<{ readonly t1: number; readonly t2: number } | null>(null);
  return (
    <>
      <Fault error={stream.error} retry={stream.reload} />
      {stream.data && (
        <StreamView path={pin.path} stream={stream.data} look={moved ? { ...look, range: "exact", ...moved } : look} onSpan={setMoved} height={220} />
      )}
    </>
  );
}
