import { useState } from "preact/hooks";

import { updateDevice } from "../api";
import { CopyButton, Fault } from "./basics";
import { Dialog } from "./Dialog";
import { Form } from "./fields";
import { useAction } from "./hooks";
import { Icon } from "./Icon";
import { notify } from "./notices";

/** The API key of a device: seen only by those who ask for it. */
export function ApiKey({
  user,
  device,
  apikey,
  onChange,
}: {
  user: string;
  device: string;
  apikey: string;
  onChange: (apikey: string) => void;
}) {
  const [shown, setShown] = useState(false);
  const [asking, setAsking] = useState(false);
  const reset = useAction(async () => {
    const fresh = await updateDevice(user, device, { apikey: "" });
    onChange(fresh.apikey ?? "");
    setAsking(false);
    setShown(true);
    notify("The device has a new API key. The old one does not work any more.");
  });
  return (
    <div class="apikey">
      {shown ? (
        <p>
          <code data-testid="apikey">{apikey}</code>
        </p>
      ) : (
        <p class="muted">Whoever knows the key can write to this device. Keep it to yourself.</p>
      )}
      <div class="actions">
        <button type="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
          <Icon name="key" /> <span>{shown ? "Hide the API key" : "Show the API key"}</span>
        </button>
        {shown && <CopyButton text={apikey} what="API key" />}
        <button type="button" onClick={() => setAsking(true)}>
          Make a new API key
        </button>
      </div>
      {asking && (
        <Dialog title="Make a new API key?" onClose={() => setAsking(false)}>
          <p>
            The key that {user}/{device} has now stops working at once: whatever uses it has to be given the new one.
          </p>
          <Fault error={reset.error} />
          <Form submit="Make a new key" busy={reset.busy} cancel={() => setAsking(false)} onSubmit={() => void reset.run()}>
            {null}
          </Form>
        </Dialog>
      )}
    </div>
  );
}
