import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { clock, type Stream, type StreamPath } from "../api";
import { keepDraft, readDraft } from "../lib/drafts";
import { enter } from "../lib/outbox";
import { parseSchema } from "../lib/schema";
import { myName } from "../lib/session";
import { localInput, localTime, now, timeText, zone } from "../lib/time";
import { Fault } from "../ui/basics";
import { CheckField, TextField } from "../ui/fields";
import { useAction } from "../ui/hooks";
import { notify } from "../ui/notices";
import { useUnsaved } from "../ui/useForm";
import { draftFault, isLaborious, ValueField, type Draft } from "./ValueField";

/** Enters a value into a stream, for now or for another time. */
export function EntryForm({ path, stream, quiet = false }: { path: StreamPath; stream: Stream; quiet?: boolean }) {
  // When the session ends, it is still theirs.
  const { current: user } = useRef(myName.peek());
  const [value, setValue] = useState<Draft>(() => readDraft(user, path));
  const [round, setRound] = useState(0);
  const [tried, setTried] = useState(false);
  const [when, setWhen] = useState<string | null>(null);
  const [again, setAgain] = useState(false);
  const schema = parseSchema(stream.schema);
  const name = stream.nickname || path[2];
  const meant = when === null ? null : localTime(when);
  const second = meant?.again ?? null;
  const t = (again ? second : null) ?? meant?.t ?? null;
  const fault = draftFault(value, schema);
  const latest = useRef(value);
  latest.current = value;
  const drop = (): void => keepDraft(user, path, undefined);
  useUnsaved(isLaborious(value), drop);
  useLayoutEffect(() => keepDraft(user, path, isLaborious(value) ? value : undefined), [value]);
  // 0 means now to the server.
  const timeFault = when === null ? null : t === null ? "Please give date and time." : t <= 0 ? "It has to be after the beginning of 1970." : null;
  const action = useAction(async () => {
    if (value === undefined) return;
    const outcome = await enter(path, name, t ?? now() + clock.ahead, value);
    notify(
      outcome === "sent"
        ? `${name}: entered.`
        : `${name}: kept on this device. It is sent as soon as the server takes it.`,
    );
    setTried(false);
    // What has been typed while that was under way is for another entry.
    if (latest.current !== value) return;
    drop();
    setValue(undefined);
    setWhen(null);
    setRound((n) => n + 1);
  });
  const askWhen = (): void => {
    const present = Math.floor(now());
    setWhen(localInput(present));
    setAgain(localTime(localInput(present))?.again === present);
  };
  return (
    <form
      class="entry"
      noValidate
      aria-label={`Enter ${name}`}
      onSubmit={(event) => {
        event.preventDefault();
        setTried(true);
        if (fault === null && timeFault === null) void action.run();
      }}
    >
      <Fault error={action.error} />
      <ValueField
        key={round}
        schema={schema}
        label={name}
        quiet={quiet}
        value={value}
        onChange={setValue}
        datatype={stream.datatype ?? ""}
        fault={tried ? fault : null}
      />
      {when !== null && (
        <TextField
          type="datetime-local"
          label="When"
          step={1}
          value={when}
          onInput={setWhen}
          help={`In ${zone.value}.${meant?.isSkipped ? ` The clock was put forward over this time: it is entered for ${timeText(meant.t)}.` : ""}`}
          fault={tried ? timeFault : null}
        />
      )}
      {second !== null && (
        <CheckField
          label="The second time"
          checked={again}
          onChange={setAgain}
          help="The clock shows this time twice, as it was put back."
        />
      )}
      <div class="buttons">
        <button type="submit" class="primary" disabled={action.busy} aria-busy={action.busy}>
          {action.busy ? "Entering…" : "Enter"}
          <span class="sr"> {name}</span>
        </button>
        <button type="button" class="plain" onClick={() => (when === null ? askWhen() : setWhen(null))}>
          {when === null ? "At another time" : "Now, after all"}
          <span class="sr"> for {name}</span>
        </button>
      </div>
    </form>
  );
}
