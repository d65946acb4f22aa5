/** Fields of forms: each has a label, may have help and says what is wrong with it, so that all of it is read out. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { useId } from "./hooks";

interface Common {
  label: string;
  help?: ComponentChildren;
  fault?: string | null | undefined;
}

function Frame({ id, label, help, fault, children }: Common & { id: string; children: ComponentChildren }) {
  return (
    <div class={fault ? "field faulty" : "field"}>
      <label for={id}>{label}</label>
      {children}
      {fault && (
        <p class="field-fault" id={`${id}-fault`}>
          {fault}
        </p>
      )}
      {help !== undefined && (
        <div class="help" id={`${id}-help`}>
          {help}
        </div>
      )}
    </div>
  );
}

/** The types of JSX tell apart elements by their type; here it is one of several. */
const typed = (type: string): { type: "text" } => ({ type }) as { type: "text" };

const describedBy = (id: string, help: unknown, fault: unknown): string | undefined =>
  [fault ? `${id}-fault` : "", help !== undefined ? `${id}-help` : ""].filter(Boolean).join(" ") || undefined;

interface Native {
  type?: "text" | "email" | "search" | "date" | "datetime-local";
  autocomplete?: string;
  autocapitalize?: "none" | "sentences";
  spellcheck?: boolean;
  required?: boolean;
  readOnly?: boolean;
  placeholder?: string;
  inputMode?: "decimal" | "numeric" | "text";
  list?: string;
  step?: number | string;
}

export function TextField({
  label,
  help,
  fault,
  value,
  onInput,
  type = "text",
  ...rest
}: Common & { value: string; onInput: (value: string) => void } & Native) {
  const id = useId();
  return (
    <Frame id={id} label={label} help={help} fault={fault}>
      <input
        {...(rest as object)}
        {...typed(type)}
        id={id}
        value={value}
        aria-invalid={fault ? true : undefined}
        aria-describedby={describedBy(id, help, fault)}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </Frame>
  );
}

export function AreaField({
  label,
  help,
  fault,
  value,
  onInput,
  rows = 3,
  code = false,
  required = false,
}: Common & { value: string; onInput: (value: string) => void; rows?: number; code?: boolean; required?: boolean }) {
  const id = useId();
  return (
    <Frame id={id} label={label} help={help} fault={fault}>
      <textarea
        id={id}
        rows={rows}
        class={code ? "code" : undefined}
        spellcheck={!code}
        required={required}
        value={value}
        aria-invalid={fault ? true : undefined}
        aria-describedby={describedBy(id, help, fault)}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </Frame>
  );
}

export function PasswordField({
  label,
  help,
  fault,
  value,
  onInput,
  autocomplete,
}: Common & { value: string; onInput: (value: string) => void; autocomplete: "current-password" | "new-password" }) {
  const id = useId();
  const [shown, setShown] = useState(false);
  return (
    <Frame id={id} label={label} help={help} fault={fault}>
      <div class="joined">
        <input
          id={id}
          {...typed(shown ? "text" : "password")}
          autocomplete={autocomplete}
          autocapitalize="none"
          spellcheck={false}
          required
          value={value}
          aria-invalid={fault ? true : undefined}
          aria-describedby={describedBy(id, help, fault)}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
        <button type="button" aria-pressed={shown} aria-label={`Show what is in “${label}”`} onClick={() => setShown(!shown)}>
          {shown ? "Hide" : "Show"}
        </button>
      </div>
    </Frame>
  );
}

export function CheckField({
  label,
  help,
  checked,
  onChange,
  disabled = false,
}: Common & { checked: boolean; onChange: (checked: boolean) => void; disabled?: boolean }) {
  const id = useId();
  return (
    <div class="field check">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        disabled={disabled}
        aria-describedby={describedBy(id, help, null)}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {help !== undefined && (
        <div class="help" id={`${id}-help`}>
          {help}
        </div>
      )}
    </div>
  );
}

export function SelectField<T extends string>({
  label,
  help,
  fault,
  value,
  options,
  onChange,
}: Common & { value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void }) {
  const id = useId();
  return (
    <Frame id={id} label={label} help={help} fault={fault}>
      <select
        id={id}
        value={value}
        aria-invalid={fault ? true : undefined}
        aria-describedby={describedBy(id, help, fault)}
        onChange={(event) => onChange(event.currentTarget.value as T)}
      >
        {options.map(([key, text]) => (
          <option key={key} value={key} selected={key === value}>
            {text}
          </option>
        ))}
      </select>
    </Frame>
  );
}

/** A form: Enter sends it, and while it is being sent, it cannot be sent again. */
export function Form({
  onSubmit,
  submit,
  busy,
  busyText = "One moment",
  disabled = false,
  danger = false,
  cancel,
  children,
  label,
}: {
  onSubmit: () => unknown;
  submit: string;
  busy: boolean;
  busyText?: string;
  disabled?: boolean;
  danger?: boolean;
  cancel?: () => void;
  children: ComponentChildren;
  label?: string;
}) {
  return (
    <form
      noValidate
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      {children}
      <div class="buttons">
        <button type="submit" class={danger ? "danger" : "primary"} disabled={busy || disabled} aria-busy={busy}>
          {busy ? `${busyText}…` : submit}
        </button>
        {cancel && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
    </form>
  );
}
