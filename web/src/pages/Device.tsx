import { useState } from "preact/hooks";

import { listStreams, readDevice } from "../api";
import { to } from "../lib/router";
import { myName } from "../lib/session";
import { ApiKey } from "../ui/ApiKey";
import { Empty, Fault, LinkButton, Loading, Page } from "../ui/basics";
import { ConnectCode } from "../ui/ConnectCode";
import { useLoad } from "../ui/hooks";
import { ObjectIcon } from "../ui/ObjectIcon";
import { PagedList } from "../ui/PagedList";
import { deviceTags, StreamTile } from "./User";

export function crumbsOf(user: string, device?: string): (readonly [string, string])[] {
  const mine = user === myName.value;
  return [
    mine ? (["Devices", "/devices"] as const) : ([user, to("/u/{}", user)] as const),
    ...(device === undefined ? [] : [[device, to("/u/{}/{}", user, device)] as const]),
  ];
}

export default function DevicePage({ user, device }: { user: string; device: string }) {
  const found = useLoad((signal) => readDevice(user, device, signal), [user, device]);
  const streams = useLoad((signal) => listStreams(user, device, signal), [user, device]);
  const [code, setCode] = useState(false);
  const { data } = found;
  if (found.error !== undefined)
    return (
      <Page title={`${user}/${device}`} crumbs={crumbsOf(user)}>
        <Fault error={found.error} retry={found.reload} />
      </Page>
    );
  if (!data) return <Loading />;
  const tags = deviceTags(data);
  return (
    <Page
      title={data.nickname || device}
      crumbs={crumbsOf(user)}
      lead={
        <div class="about">
          <ObjectIcon icon={data.icon} name={data.nickname || device} size={48} />
          <div>
            <p>
              <code>
                {user}/{device}
              </code>
              {tags.map((tag) => (
                <span class="tag" key={tag}>
                  {tag}
                </span>
              ))}
            </p>
            {data.description && <p class="description">{data.description}</p>}
          </div>
        </div>
      }
      actions={
        <>
          <LinkButton href={to("/new/stream/{}/{}", user, device)} icon="plus" primary>
            New stream
          </LinkButton>
          <LinkButton href={to("/edit/device/{}/{}", user, device)} icon="edit">
            Edit
          </LinkButton>
        </>
      }
    >
      <section aria-labelledby="streams">
        <h2 id="streams">Streams</h2>
        <Fault error={streams.error} retry={streams.reload} />
        {streams.loading && !streams.data && <Loading what="Loading the streams" />}
        {streams.data?.length === 0 && (
          <Empty>
            <p>This device has no stream yet. A program makes them as it needs them, or you make one.</p>
          </Empty>
        )}
        {streams.data && streams.data.length > 0 && (
          <PagedList
            items={streams.data}
            keyOf={({ name = "" }) => name}
            wordsOf={(stream) => `${stream.name} ${stream.nickname ?? ""} ${stream.description ?? ""}`}
            what="streams"
          >
            {(stream) => <StreamTile user={user} device={device} stream={stream} />}
          </PagedList>
        )}
      </section>
      {data.apikey !== undefined && data.apikey !== "" && (
        <section class="card" aria-labelledby="key">
          <h2 id="key">API key</h2>
          <ApiKey user={user} device={device} apikey={data.apikey} onChange={(apikey) => found.set({ ...data, apikey })} />
          <p>
            <button type="button" aria-expanded={code} onClick={() => setCode(!code)}>
              {code ? "Hide the code" : "Show code that writes to this device"}
            </button>
          </p>
          {code && <ConnectCode user={user} device={device} apikey={data.apikey} stream={streams.data?.[0]} />}
        </section>
      )}
    </Page>
  );
}
