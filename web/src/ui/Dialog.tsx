import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { Fault } from "./basics";
import { Form, TextField } from "./fields";
import { useAction, useId } from "./hooks";
import { Icon } from "./Icon";

/** A window over the page. The browser keeps the focus in it, closes it with Escape, and gives the focus back. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId("d");
  useEffect(() => {
    const shown = dialog.current;
    const before = document.activeElement;
    if (shown && !shown.open) shown.showModal();
    return () => {
      shown?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div class="dialog-title">
        <h2 id={id}>{title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </dialog>
  );
}

/** Deleting takes the name, typed in: nobody does that by mistake. */
export function DeleteDialog({
  kind,
  name,
  consequences,
  onDelete,
  onClose,
}: {
  kind: "user" | "device" | "stream";
  name: string;
  consequences: string;
  onDelete: () => Promise<void>;
  onClose: () => void;
}) {
  const [typed, setTyped] = useState("");
  const [tried, setTried] = useState(false);
  const action = useAction(onDelete);
  const matches = typed.trim() === name;
  return (
    <Dialog title={`Delete the ${kind} ${name}?`} onClose={onClose}>
      <p>{consequences} This cannot be undone.</p>
      <Fault error={action.error} />
      <Form
        danger
        submit={`Delete this ${kind}`}
        busy={action.busy}
        busyText="Deleting"
        cancel={onClose}
        onSubmit={() => {
          setTried(true);
          if (matches) void action.run();
        }}
      >
        <TextField
          label={`Type ${name} to delete it`}
          value={typed}
          onInput={setTyped}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          fault={tried && !matches ? `This is not the name of the ${kind}, which is “${name}”.` : null}
        />
      </Form>
    </Dialog>
  );
}
