import { useState } from "preact/hooks";

import { listDevices, listUserStreams, readUser, type Device, type Stream } from "../api";
import { to } from "../lib/router";
import { isAdmin, myName } from "../lib/session";
import { parseSchema, schemaWords } from "../lib/schema";
import { Empty, Fault, LinkButton, Loading, Page } from "../ui/basics";
import { CheckField } from "../ui/fields";
import { useLoad } from "../ui/hooks";
import { PagedList } from "../ui/PagedList";
import { Tile } from "../ui/Tile";

/** A user with all devices and streams. */
export default function UserPage({ user }: { user: string }) {
  const own = user === myName.value;
  const found = useLoad((signal) => readUser(user, signal), [user]);
  const devices = useLoad((signal) => listDevices(user, signal), [user]);
  const streams = useLoad((signal) => listUserStreams(user, signal), [user]);
  const [hidden, setHidden] = useState(false);
  if (found.error !== undefined) return <Page title={user}><Fault error={found.error} retry={found.reload} /></Page>;
  const count = new Map<string, number>();
  for (const { device = "" } of streams.data ?? []) count.set(device, (count.get(device) ?? 0) + 1);
  const all = devices.data ?? [];
  const shown = all.filter((device) => hidden || device.visible !== false);
  const listed = new Set(shown.map((device) => device.name));
  const shownStreams = (streams.data ?? []).filter(({ device }) => listed.has(device));
  return (
    <Page
      title={own ? "My devices" : `Devices of ${found.data?.nickname || user}`}
      crumbs={isAdmin.value && !own ? [["Users", "/users"]] : []}
      lead={found.data?.description ? <p>{found.data.description}</p> : undefined}
      actions={
        <>
          <LinkButton href={to("/new/device/{}", user)} icon="plus" primary>
            New device
          </LinkButton>
          {!own && (
            <LinkButton href={to("/edit/user/{}", user)} icon="edit">
              Edit this user
            </LinkButton>
          )}
        </>
      }
    >
      <Fault error={devices.error} retry={devices.reload} />
      {devices.loading && !devices.data && <Loading what="Loading the devices" />}
      {shown.length > 0 && (
        <PagedList items={shown} keyOf={(d) => d.name ?? ""} wordsOf={words} what="devices">
          {(device) => (
            <Tile
              href={to("/u/{}/{}", user, device.name ?? "")}
              icon={device.icon}
              name={device.name ?? ""}
              nickname={device.nickname}
              note={streams.data && plural(count.get(device.name ?? "") ?? 0, "stream")}
              tags={deviceTags(device)}
            />
          )}
        </PagedList>
      )}
      {devices.data && all.some((device) => device.visible === false) && (
        <CheckField label="Show hidden devices, too" checked={hidden} onChange={setHidden} />
      )}
      <section aria-labelledby="all-streams">
        <h2 id="all-streams">All streams</h2>
        <Fault error={streams.error} retry={streams.reload} />
        {streams.loading && !streams.data && <Loading what="Loading the streams" />}
        {streams.data && shownStreams.length === 0 && (
          <Empty>
            <p>There is no stream yet. A device writes what it measures to its streams; you can make one by hand, too.</p>
            <p>
              <LinkButton href={to("/new/stream/{}/{}", user, "user")} icon="plus">
                New stream
              </LinkButton>
            </p>
          </Empty>
        )}
        {shownStreams.length > 0 && (
          <PagedList items={shownStreams} keyOf={streamKey} wordsOf={words} what="streams">
            {(stream) => <StreamTile user={user} device={stream.device ?? ""} stream={stream} withDevice />}
          </PagedList>
        )}
      </section>
    </Page>
  );
}

const streamKey = ({ device, name }: Stream): string => `${device}/${name}`;

function words(thing: Device | Stream): string {
  const device = "device" in thing ? thing.device : "";
  return `${device}/${thing.name} ${thing.nickname ?? ""} ${thing.description ?? ""}`;
}

export const plural = (n: number, what: string): string => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

export function deviceTags(device: Device): string[] {
  return [
    ...(device.enabled === false ? ["switched off"] : []),
    ...(device.visible === false ? ["hidden"] : []),
    ...(device.public ? ["public"] : []),
    ...(device.role && device.role !== "none" ? [`role: ${device.role}`] : []),
  ];
}

export function StreamTile({
  user,
  device,
  stream,
  withDevice = false,
}: {
  user: string;
  device: string;
  stream: Stream;
  withDevice?: boolean;
}) {
  const { name = "" } = stream;
  return (
    <Tile
      href={to("/u/{}/{}/{}", user, device, name)}
      icon={stream.icon}
      name={withDevice && !stream.nickname ? `${device}/${name}` : name}
      nickname={stream.nickname}
      note={withDevice && stream.nickname ? `${device} · ${schemaWords(parseSchema(stream.schema))}` : schemaWords(parseSchema(stream.schema))}
      tags={[...(stream.downlink ? ["takes commands"] : []), ...(stream.ephemeral ? ["keeps nothing"] : [])]}
    />
  );
}
