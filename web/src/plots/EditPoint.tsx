import { useState } from "preact/hooks";

import { type Json, type Point, type Stream } from "../api";
import { draftFault, isLaborious, ValueField, type Draft } from "../forms/ValueField";
import { mayLose } from "../lib/router";
import { parseSchema, same } from "../lib/schema";
import { timeText } from "../lib/time";
import { Fault } from "../ui/basics";
import { Dialog } from "../ui/Dialog";
import { Form, TextField } from "../ui/fields";
import { useAction } from "../ui/hooks";
import { useUnsaved } from "../ui/useForm";

const WHY_MAX = 1000;

/** Asks for another value of a datapoint. */
export function EditPoint({
  point,
  stream,
  label,
  onSave,
  onClose,
}: {
  point: Point;
  stream: Stream;
  label: string;
  onSave: (d: Json, why: string) => Promise<void>;
  onClose: () => void;
}) {
  const [value, setValue] = useState<Draft>(point.d);
  const [why, setWhy] = useState("");
  const [tried, setTried] = useState(false);
  const schema = parseSchema(stream.schema);
  const fault = draftFault(value, schema);
  const wordy = why.length > WHY_MAX;
  const typed = value !== undefined && isLaborious(value) && !same(value, point.d);
  useUnsaved(typed);
  const close = (): void => {
    if (!typed || mayLose()) onClose();
  };
  const action = useAction(async () => {
    if (value !== undefined) await onSave(value, why.trim());
  });
  return (
    <Dialog title={`Value of ${timeText(point.t)}`} onClose={close}>
      <Form
        submit="Save"
        busy={action.busy}
        busyText="Saving"
        cancel={close}
        label={`Edit ${label}`}
        onSubmit={() => {
          setTried(true);
          if (fault === null && !wordy) void action.run();
        }}
      >
        <Fault error={action.error} />
        <ValueField
          schema={schema}
          label={label}
          value={value}
          onChange={setValue}
          datatype={stream.datatype ?? ""}
          fault={tried ? fault : null}
        />
        <TextField
          label="Why (may be left out)"
          value={why}
          onInput={setWhy}
          autocomplete="off"
          fault={wordy ? `At most ${WHY_MAX} characters, please.` : null}
        />
      </Form>
    </Dialog>
  );
}
