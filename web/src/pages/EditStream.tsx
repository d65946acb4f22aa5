import { useState } from "preact/hooks";

import { createStream, deleteStream, listStreams, readStream, updateStream, type Json, type Stream } from "../api";
import { nameFault } from "../lib/names";
import { DATATYPES, PRESETS } from "../lib/presets";
import { navigate, to } from "../lib/router";
import { parseSchema, schemaFault, schemaWords, valueFault } from "../lib/schema";
import { durationText } from "../lib/time";
import { Fault, Loading, Page } from "../ui/basics";
import { DeleteDialog } from "../ui/Dialog";
import { AreaField, CheckField, Form, SelectField, TextField } from "../ui/fields";
import { useAction, useId, useLoad } from "../ui/hooks";
import { notify } from "../ui/notices";
import { useFields } from "../ui/useForm";
import { Danger } from "./Danger";
import { crumbsOf } from "./Device";
import { NameFields } from "./NameFields";

export default function EditStream({ user, device, stream }: { user: string; device: string; stream: string | null }) {
  const found = useLoad(
    async (signal) => (stream === null ? {} : readStream([user, device, stream], signal)),
    [user, device, stream],
  );
  const others = useLoad((signal) => listStreams(user, device, signal), [user, device]);
  const crumbs = [...crumbsOf(user, device), ...(stream === null ? [] : [[stream, to("/u/{}/{}/{}", user, device, stream)] as const])];
  return (
    <Page
      title={stream === null ? "New stream" : `Edit ${stream}`}
      crumbs={crumbs}
      lead={stream === null ? <p>A stream is a series of values with their times, all of the same kind. It will belong to {user}/{device}.</p> : undefined}
    >
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading />}
      {found.data && (
        <StreamForm
          user={user}
          device={device}
          stream={stream}
          given={found.data}
          taken={(others.data ?? []).map(({ name }) => name ?? "")}
        />
      )}
    </Page>
  );
}

function StreamForm({
  user,
  device,
  stream,
  given,
  taken,
}: {
  user: string;
  device: string;
  stream: string | null;
  given: Stream;
  taken: readonly string[];
}) {
  const fresh = stream === null;
  const fields = useFields({
    name: stream ?? "",
    nickname: given.nickname ?? "",
    description: given.description ?? "",
    icon: given.icon ?? "",
    schema: pretty(given.schema ?? (fresh ? '{"type":"number"}' : "{}")),
    datatype: given.datatype ?? "",
    ephemeral: given.ephemeral ?? false,
    keep: given.keep ?? 0,
    downlink: given.downlink ?? false,
  });
  const { values, set } = fields;
  const [tried, setTried] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const [understood, setUnderstood] = useState(false);
  const datatypes = useId();
  const faults = {
    name: fresh ? nameFault(values.name, taken) : null,
    schema: schemaFault(values.schema),
  };
  const before = given.keep ?? 0;
  // What is too old then is gone for good, so a wrong choice in a list is not enough for that.
  const loses = !fresh && !values.ephemeral && values.keep > 0 && (before === 0 || values.keep < before);
  const action = useAction(async () => {
    const { name: _, ...changes } = fields.changes;
    if (values.ephemeral) delete changes.keep;
    if (fresh) {
      await createStream([user, device, values.name], { ...changes, schema: values.schema });
      notify(`The stream ${values.name} was created.`);
    } else {
      await updateStream([user, device, stream], changes);
      notify("Saved.");
    }
    fields.saved();
    navigate(to("/u/{}/{}/{}", user, device, values.name));
  });
  return (
    <>
      <div class="card wide-form">
        <Fault error={action.error} />
        <Form
          submit={fresh ? "Create the stream" : "Save"}
          busy={action.busy}
          busyText="Saving"
          onSubmit={() => {
            setTried(true);
            if (Object.values(faults).every((fault) => fault === null) && (!loses || understood)) void action.run();
          }}
        >
          <NameFields
            kind="stream"
            at={`${user}/${device}`}
            fresh={fresh}
            values={values}
            patch={fields.patch}
            fault={{ text: faults.name, tried }}
          />
          <SchemaFields
            schema={values.schema}
            fault={faults.schema}
            onChange={(schema) => set("schema", schema)}
            onPreset={(schema, datatype) => fields.patch({ schema, datatype })}
            keepsOld={!fresh}
          />
          <TextField
            label="Datatype"
            value={values.datatype}
            onInput={(value) => set("datatype", value)}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            list={datatypes}
            help="A hint how values are shown and entered, such as rating.stars. May be left empty."
          />
          <datalist id={datatypes}>
            {DATATYPES.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
          <CheckField
            label="Takes commands (downlink)"
            help="You and others can ask the device for a value of this stream: a lamp, a thermostat."
            checked={values.downlink}
            onChange={(value) => set("downlink", value)}
          />
          <CheckField
            label="Keeps nothing (ephemeral)"
            help="Values only pass through to those who follow the stream."
            checked={values.ephemeral}
            onChange={(value) => set("ephemeral", value)}
          />
          {!values.ephemeral && (
            <SelectField
              label="Keep values"
              value={String(values.keep)}
              options={keepOptions(before)}
              help="What is older is deleted by itself, and cannot be brought back."
              onChange={(value) => set("keep", Number(value))}
            />
          )}
          {loses && (
            <CheckField
              label={`Delete what is older than ${durationText(values.keep)}, now and from now on`}
              help={tried && !understood ? "Nothing has been saved: this has to be confirmed." : "It is gone for good."}
              checked={understood}
              onChange={setUnderstood}
            />
          )}
        </Form>
      </div>
      {!fresh && <Danger kind="stream" onDelete={() => setDeleting(true)} />}
      {!fresh && deleting && (
        <DeleteDialog
          kind="stream"
          name={stream}
          consequences="All of its data are deleted as well."
          onClose={() => setDeleting(false)}
          onDelete={async () => {
            await deleteStream([user, device, stream]);
            notify(`The stream ${stream} was deleted.`);
            navigate(to("/u/{}/{}", user, device));
          }}
        />
      )}
    </>
  );
}

const DAY_S = 86_400;
const KEEP_S = [DAY_S, 7 * DAY_S, 30 * DAY_S, 365 * DAY_S, 5 * 365 * DAY_S];

/** How long values can be kept; `now` is among it. */
function keepOptions(now: number): (readonly [string, string])[] {
  const all = [...new Set([...KEEP_S, ...(now > 0 ? [now] : [])])].sort((a, b) => a - b);
  return [["0", "for ever"], ...all.map((s) => [String(s), `for ${durationText(s)}`] as const)];
}

/** What values the stream takes: chosen from kinds in words, or written as JSON Schema, which is checked meanwhile. */
function SchemaFields({
  schema,
  fault,
  onChange,
  onPreset,
  keepsOld,
}: {
  schema: string;
  fault: string | null;
  onChange: (schema: string) => void;
  onPreset: (schema: string, datatype: string) => void;
  keepsOld: boolean;
}) {
  const [trial, setTrial] = useState("");
  const current = fault === null ? JSON.stringify(parseSchema(schema)) : "";
  const preset = PRESETS.find((kind) => kind.schema === current)?.key ?? "own";
  return (
    <fieldset class="schema-fields">
      <legend>What values it takes</legend>
      <SelectField
        label="Kind of values"
        value={preset}
        options={[...PRESETS.map(({ key, text }) => [key, text] as const), ["own", "As written below"] as const]}
        onChange={(key) => {
          const chosen = PRESETS.find((kind) => kind.key === key);
          if (chosen) onPreset(pretty(chosen.schema), chosen.datatype);
        }}
      />
      <AreaField
        label="JSON Schema"
        value={schema}
        onInput={onChange}
        rows={Math.min(16, Math.max(4, schema.split("\n").length))}
        code
        fault={fault}
        help={
          <>
            <p>
              {fault === null && (
                <>
                  It takes <strong>{schemaWords(parseSchema(schema))}</strong>.{" "}
                </>
              )}
              {keepsOld && "Values that are stored already stay, whatever the schema says. "}
            </p>
            <details>
              <summary>How to write a schema</summary>
              <dl class="schema-help">
                <dt>{'{"type": "number"}'}</dt>
                <dd>a number. Other types: integer, string, boolean, object, array, null</dd>
                <dt>{'{"type": "integer", "minimum": 0, "maximum": 10}'}</dt>
                <dd>with bounds: entered with a slider</dd>
                <dt>{'{"type": "string", "enum": ["a", "b"]}'}</dt>
                <dd>one of several</dd>
                <dt>{'{"type": "object", "properties": {"weight": {"type": "number"}}, "required": ["weight"]}'}</dt>
                <dd>several values at once; those that are required have to be there</dd>
                <dt>{'{"type": "array", "items": {"type": "string"}}'}</dt>
                <dd>a list</dd>
              </dl>
            </details>
          </>
        }
      />
      <TextField
        label="Try a value"
        value={trial}
        onInput={setTrial}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        fault={trial && fault === null ? trialFault(trial, schema) : null}
        help={trial && fault === null && trialFault(trial, schema) === null ? "It fits." : 'As JSON: 21.5, true, "text", {"weight": 70}.'}
      />
    </fieldset>
  );
}

function trialFault(text: string, schema: string): string | null {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    return "This is no JSON. A text stands in quotes: \"like this\".";
  }
  return valueFault(value, parseSchema(schema));
}

function pretty(schema: string): string {
  try {
    const text = JSON.stringify(JSON.parse(schema), null, 2);
    return text.length > 60 ? text : JSON.stringify(JSON.parse(schema)).replace(/,"/g, ', "').replace(/":/g, '": ');
  } catch {
    return schema;
  }
}
