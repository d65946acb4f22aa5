import { listDevices, listUserStreams } from "../api";
import { Control } from "../forms/Control";
import { to } from "../lib/router";
import { myName } from "../lib/session";
import { Empty, Fault, Loading, Page } from "../ui/basics";
import { useLoad } from "../ui/hooks";
import { ObjectIcon } from "../ui/ObjectIcon";

/** All that can be steered. */
export default function Downlinks() {
  const user = myName.value;
  const found = useLoad(
    async (signal) => {
      const [streams, devices] = await Promise.all([listUserStreams(user, signal), listDevices(user, signal)]);
      const names = new Map(devices.map((device) => [device.name, device.nickname || device.name]));
      return streams.filter((stream) => stream.downlink).map((stream) => ({ stream, device: names.get(stream.device) ?? "" }));
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
        {(found.data ?? []).map(({ stream, device }) => {
          const { name = "", device: deviceName = "" } = stream;
          return (
            <section class="card" key={`${deviceName}/${name}`} aria-label={stream.nickname || name}>
              <h2 class="with-icon">
                <ObjectIcon icon={stream.icon} name={stream.nickname || name} size={36} />
                <a href={to("/u/{}/{}/{}", user, deviceName, name)}>{stream.nickname || name}</a>
                <span class="muted small">{device}</span>
              </h2>
              <Control path={[user, deviceName, name]} stream={stream} />
            </section>
          );
        })}
      </div>
    </Page>
  );
}
