import { useState } from "preact/hooks";

import { createDevice, deleteDevice, listDevices, readDevice, updateDevice, type Device } from "../api";
import { nameFault } from "../lib/names";
import { navigate, to } from "../lib/router";
import { myName } from "../lib/session";
import { Fault, LinkButton, Loading, Page } from "../ui/basics";
import { ConnectCode } from "../ui/ConnectCode";
import { DeleteDialog } from "../ui/Dialog";
import { CheckField, Form, SelectField } from "../ui/fields";
import { useAction, useLoad } from "../ui/hooks";
import { notify } from "../ui/notices";
import { useFields } from "../ui/useForm";
import { Danger } from "./Danger";
import { crumbsOf } from "./Device";
import { NameFields } from "./NameFields";

const ROLES: readonly (readonly [string, string])[] = [
  ["appender", "appender: only adds to its own streams, and changes nothing"],
  ["none", "none: only its own streams"],
  ["reader", "reader: may also read all that its user has"],
  ["writer", "writer: may also write to all that its user has"],
  ["user", "user: may do all that its user may"],
];

export default function EditDevice({ user, device }: { user: string; device: string | null }) {
  const found = useLoad(async (signal) => (device === null ? {} : readDevice(user, device, signal)), [user, device]);
  const others = useLoad((signal) => listDevices(user, signal), [user]);
  const [made, setMade] = useState<Device | null>(null);
  if (made !== null) return <Made user={user} device={made} />;
  return (
    <Page
      title={device === null ? "New device" : `Edit ${device}`}
      crumbs={crumbsOf(user, device ?? undefined)}
      lead={
        device === null ? (
          <p>
            A device is whatever measures or acts: a phone, a weather station, a program, a lamp.
            {user === myName.value ? "" : ` This one will belong to ${user}.`}
          </p>
        ) : undefined
      }
    >
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading />}
      {found.data && (
        <DeviceForm
          user={user}
          device={device}
          given={found.data}
          taken={(others.data ?? []).map(({ name }) => name ?? "")}
          onMade={setMade}
        />
      )}
    </Page>
  );
}

function DeviceForm({
  user,
  device,
  given,
  taken,
  onMade,
}: {
  user: string;
  device: string | null;
  given: Device;
  taken: readonly string[];
  onMade: (device: Device) => void;
}) {
  const fresh = device === null;
  const fields = useFields({
    name: device ?? "",
    nickname: given.nickname ?? "",
    description: given.description ?? "",
    icon: given.icon ?? "",
    role: given.role || "none",
    enabled: given.enabled ?? true,
    visible: given.visible ?? true,
    user_editable: given.user_editable ?? true,
    public: given.public ?? false,
  });
  const { values, set } = fields;
  const [tried, setTried] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const fault = fresh ? nameFault(values.name, taken) : null;
  const action = useAction(async () => {
    const { name: _, ...changes } = fields.changes;
    if (fresh) {
      const made = await createDevice(user, values.name, changes);
      fields.saved();
      onMade(made);
      return;
    }
    await updateDevice(user, device, changes);
    fields.saved();
    notify("Saved.");
    navigate(to("/u/{}/{}", user, device));
  });
  const may = (field: keyof Device): boolean => fresh || given[field] !== undefined;
  const roles = ROLES.some(([role]) => role === values.role) ? ROLES : [...ROLES, [values.role, values.role] as const];
  return (
    <>
      <div class="card narrow">
        <Fault error={action.error} />
        <Form
          submit={fresh ? "Create the device" : "Save"}
          busy={action.busy}
          busyText="Saving"
          onSubmit={() => {
            setTried(true);
            if (fault === null) void action.run();
          }}
        >
          <NameFields
            kind="device"
            at={user}
            fresh={fresh}
            values={values}
            patch={fields.patch}
            fault={{ text: fault, tried }}
            placeholder={fresh ? "My phone" : ""}
          />
          {may("role") && (
            <SelectField
              label="Role"
              value={values.role}
              options={roles}
              onChange={(value) => set("role", value)}
              help="What a program may do that has the API key of this device."
            />
          )}
          {may("enabled") && (
            <CheckField
              label="Switched on"
              help="If it is not, its API key does not work."
              checked={values.enabled}
              onChange={(value) => set("enabled", value)}
            />
          )}
          {may("visible") && (
            <CheckField
              label="Visible"
              help="If it is not, it is hidden in lists; it works all the same."
              checked={values.visible}
              onChange={(value) => set("visible", value)}
            />
          )}
          {may("public") && (
            <CheckField
              label="Public"
              help="Other users can see it, its streams and their data. Only a public user can have public devices."
              checked={values.public}
              onChange={(value) => set("public", value)}
            />
          )}
          {may("user_editable") && (
            <CheckField
              label="May be edited by its user"
              help="If not, only it itself and administrators can change it and its streams."
              checked={values.user_editable}
              onChange={(value) => set("user_editable", value)}
            />
          )}
        </Form>
      </div>
      {!fresh && device !== "user" && device !== "meta" && <Danger kind="device" onDelete={() => setDeleting(true)} />}
      {!fresh && deleting && (
        <DeleteDialog
          kind="device"
          name={device}
          consequences="All of its streams, with all of their data, are deleted as well."
          onClose={() => setDeleting(false)}
          onDelete={async () => {
            await deleteDevice(user, device);
            notify(`The device ${device} was deleted.`);
            navigate(user === myName.value ? "/devices" : to("/u/{}", user));
          }}
        />
      )}
    </>
  );
}

/** The device is there: now something has to write to it. */
function Made({ user, device }: { user: string; device: Device }) {
  const { name = "", apikey = "" } = device;
  return (
    <Page
      title={`${device.nickname || name} is ready`}
      crumbs={crumbsOf(user, name)}
      lead={<p>This code writes to it. It has the address of this server, and the API key of the device, in it: keep it to yourself.</p>}
      actions={
        <>
          <LinkButton href={to("/u/{}/{}", user, name)} primary>
            Go to the device
          </LinkButton>
          <LinkButton href={to("/new/stream/{}/{}", user, name)} icon="plus">
            New stream
          </LinkButton>
        </>
      }
    >
      <div class="card">
        <ConnectCode user={user} device={name} apikey={apikey} />
      </div>
    </Page>
  );
}
