import { useEffect, useRef, useState } from "preact/hooks";

import { Problem } from "../api";
import { readTransforms, type Transform } from "../lib/meta";
import { useId, useLoad } from "./hooks";

const CHOICES_MAX = 8;
const CHECK_MS = 500;

/** What is wrong with a script, and at which of its characters. */
interface ScriptFault {
  readonly text: string;
  readonly column: number | null;
}

/** A PipeScript: names are completed, each is explained with an example, and a fault is shown where it is. */
export function ScriptField({
  label,
  value,
  onInput,
  check,
  help,
}: {
  label: string;
  value: string;
  onInput: (script: string) => void;
  /** Has the server look at the script; throws what is wrong with it. */
  check?: ((script: string, signal: AbortSignal) => Promise<unknown>) | undefined;
  help?: string;
}) {
  const id = useId("script");
  const input = useRef<HTMLInputElement>(null);
  const known = useLoad(readTransforms, []);
  const [caret, setCaret] = useState(0);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const [fault, setFault] = useState<ScriptFault | null>(null);
  const checking = useRef(check);
  checking.current = check;

  const able = check !== undefined;
  useEffect(() => {
    setFault(null);
    if (!value.trim() || !able) return undefined;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      checking.current?.(value, controller.signal).catch((error: unknown) => {
        if (controller.signal.aborted || !(error instanceof Problem) || error.kind !== "script_error") return;
        const { column } = error.details;
        setFault({ text: error.message, column: typeof column === "number" ? column : null });
      });
    }, CHECK_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [value, able]);

  const before = value.slice(0, caret);
  const word = /[A-Za-z]+$/.exec(before)?.[0] ?? "";
  const inText = (before.match(/(?<!\\)['"]/g) ?? []).length % 2 === 1;
  const choices =
    open && word && !inText
      ? (known.data ?? []).filter(({ name }) => name.startsWith(word) && name !== word).slice(0, CHOICES_MAX)
      : [];
  const around = word + (/^[A-Za-z]+/.exec(value.slice(caret))?.[0] ?? "");
  const explained = choices[active] ?? known.data?.find(({ name }) => name === around);

  const accept = (choice: Transform): void => {
    const start = caret - word.length;
    const next = value.slice(0, start) + choice.name + value.slice(caret);
    onInput(next);
    const at = start + choice.name.length;
    setCaret(at);
    setOpen(false);
    setActive(-1);
    requestAnimationFrame(() => {
      input.current?.focus();
      input.current?.setSelectionRange(at, at);
    });
  };
  const follow = (): void => setCaret(input.current?.selectionStart ?? 0);
  return (
    <div class={fault ? "field faulty script" : "field script"}>
      <label for={id}>{label}</label>
      <input
        ref={input}
        id={id}
        type="text"
        class="code"
        role="combobox"
        aria-autocomplete="list"
        aria-expanded={choices.length > 0}
        aria-controls={`${id}-list`}
        aria-activedescendant={choices[active] ? `${id}-${active}` : undefined}
        aria-invalid={fault ? true : undefined}
        aria-describedby={`${fault ? `${id}-fault ` : ""}${id}-help`}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        placeholder="if $ > 5"
        value={value}
        onInput={(event) => {
          onInput(event.currentTarget.value);
          follow();
          setOpen(true);
          setActive(-1);
        }}
        onClick={follow}
        onKeyUp={follow}
        onBlur={() => setOpen(false)}
        onKeyDown={(event) => {
          if (!choices.length) return;
          if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            const step = event.key === "ArrowDown" ? 1 : -1;
            setActive((active + step + choices.length + (active < 0 && step < 0 ? 1 : 0)) % choices.length);
            event.preventDefault();
          } else if (event.key === "Escape") {
            setOpen(false);
            event.preventDefault();
          } else if (event.key === "Tab" || (event.key === "Enter" && active >= 0)) {
            const chosen = choices[Math.max(0, active)];
            if (chosen) {
              accept(chosen);
              event.preventDefault();
            }
          }
        }}
      />
      <div class="completion">
        <div id={`${id}-list`} role="listbox" aria-label="Transforms" hidden={!choices.length}>
          {choices.map((choice, i) => (
            // eslint-disable-next-line jsx-a11y/click-events-have-key-events -- the keys are those of the field
            <div
              key={choice.name}
              id={`${id}-${i}`}
              role="option"
              aria-selected={i === active}
              tabIndex={-1}
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => accept(choice)}
            >
              <code>{choice.name}</code> <span class="muted">{choice.description.split(".")[0]}</span>
            </div>
          ))}
        </div>
      </div>
      {fault && (
        <div class="field-fault" id={`${id}-fault`} role="alert">
          {fault.column !== null && (
            <pre class="pointer" aria-hidden="true">
              {value}
              {"\n"}
              {" ".repeat(fault.column)}^
            </pre>
          )}
          {fault.text}
        </div>
      )}
      <div class="help" id={`${id}-help`}>
        {help && <p>{help}</p>}
        {explained && <Explained transform={explained} />}
      </div>
    </div>
  );
}

function Explained({ transform }: { transform: Transform }) {
  const [example] = transform.examples ?? [];
  const args = transform.args ?? [];
  return (
    <div class="explained">
      <p>
        <code>
          {transform.name}
          {args.length > 0 && `(${args.map((arg) => (arg.optional ? `${arg.name}?` : arg.name)).join(", ")})`}
        </code>{" "}
        {transform.description}
      </p>
      {example?.result && (
        <p>
          Example: <code>{example.script}</code> makes of <code>{example.data.map(({ d }) => JSON.stringify(d)).join(", ")}</code>{" "}
          <code>{example.result.map((value) => JSON.stringify(value)).join(", ") || "nothing"}</code>
        </p>
      )}
    </div>
  );
}
