/** A field for a value, chosen by its JSON Schema and by the datatype of the stream. */
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";

import { isNumber, parseJson, type Json } from "../api";
import { isObject, typesOf, valueFault, type Schema } from "../lib/schema";
import { asShown, breakOf, commaFault, numberIn, withBreaks } from "../lib/typing";
import { useId } from "../ui/hooks";
import { Icon } from "../ui/Icon";

/** What is being entered; `undefined`: nothing yet. */
export type Draft = Json | undefined;

interface Props {
  readonly schema: Schema;
  readonly label: string;
  readonly value: Draft;
  readonly onChange: (value: Draft) => void;
  readonly datatype?: string;
  readonly required?: boolean;
  /** What is wrong with it, once that is of interest. */
  readonly fault?: string | null;
  /** The label is the heading above: it is there for screen readers only. */
  readonly quiet?: boolean;
}

type Widget = "stars" | "yesno" | "choice" | "slider" | "number" | "text" | "area" | "object" | "list" | "json";

const STARS_MAX = 12;
const RADIOS_MAX = 6;

export function widgetOf(schema: Schema, datatype = ""): Widget {
  if (Array.isArray(schema["enum"])) return "choice";
  const [type, second] = typesOf(schema);
  if (type === undefined || second !== undefined) return "json";
  const { minimum, maximum } = schema;
  const bounded = typeof minimum === "number" && typeof maximum === "number" && maximum > minimum;
  switch (type) {
    case "boolean":
      return "yesno";
    case "integer":
    case "number":
      if (datatype.startsWith("rating") && starsOf(schema).length) return "stars";
      return bounded ? "slider" : "number";
    case "string":
      return datatype.startsWith("log") || (typeof schema["maxLength"] === "number" && schema["maxLength"] > 200) ? "area" : "text";
    case "object":
      return isObject(schema["properties"]) ? "object" : "json";
    case "array":
      return isObject(schema["items"]) ? "list" : "json";
    default:
      return "json";
  }
}

/** The values that stars stand for; none if there are too many of them, or too few. */
function starsOf({ minimum, maximum }: Schema): readonly number[] {
  const first = typeof minimum === "number" ? minimum : 1;
  const last = typeof maximum === "number" ? maximum : 10;
  if (first < 0 || last < first || last > STARS_MAX) return [];
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** So long a text nobody wants to type twice. */
const LABORIOUS = 20;

/** Whether something has been typed that took some work. */
export function isLaborious(value: Draft): boolean {
  if (typeof value === "string") return value.length >= LABORIOUS;
  return typeof value === "object" && value !== null && Object.values(value).some(isLaborious);
}

/** What is wrong with `value` as it has been entered; null: nothing. */
export function draftFault(value: Draft, schema: Schema, required = true): string | null {
  if (value === undefined) return required ? "Please enter something." : null;
  const [type, second] = typesOf(schema);
  const typed = typeof value === "string" && second === undefined && (type === "number" || type === "integer");
  return (typed ? commaFault(value) : null) ?? valueFault(value, schema);
}

export function ValueField(props: Props) {
  switch (widgetOf(props.schema, props.datatype)) {
    case "stars":
      return <Stars {...props} />;
    case "yesno":
      return <Choice {...props} choices={[[true, "Yes"], [false, "No"]]} />;
    case "choice":
      return <Choice {...props} choices={(props.schema["enum"] as readonly Json[]).map((choice) => [choice, typeof choice === "string" ? choice : JSON.stringify(choice)] as const)} />;
    case "slider":
      return <Slider {...props} />;
    case "number":
      return <NumberInput {...props} />;
    case "text":
      return <TextInput {...props} />;
    case "area":
      return <TextInput {...props} area />;
    case "object":
      return <ObjectFields {...props} />;
    case "list":
      return <ListFields {...props} />;
    case "json":
      return <JsonInput {...props} />;
  }
}

function Labelled({ id, props, children }: { id: string; props: Props; children: ComponentChildren }) {
  const description = props.schema["description"];
  return (
    <div class={props.fault ? "field faulty" : "field"}>
      <label for={id} class={props.quiet ? "sr" : undefined}>
        {props.label}
        {props.required === false && " (may be left out)"}
      </label>
      {children}
      {props.fault && (
        <p class="field-fault" id={`${id}-fault`}>
          {props.fault}
        </p>
      )}
      {typeof description === "string" && <p class="help">{description}</p>}
    </div>
  );
}

function Group({ props, children, name }: { props: Props; children: ComponentChildren; name: string }) {
  return (
    <fieldset class={`${name}${props.fault ? " faulty" : ""}`}>
      <legend class={props.quiet ? "sr" : undefined}>
        {props.label}
        {props.required === false && " (may be left out)"}
      </legend>
      {children}
      {props.fault && <p class="field-fault">{props.fault}</p>}
    </fieldset>
  );
}

function Stars(props: Props) {
  const name = useId("stars");
  const chosen = typeof props.value === "number" ? props.value : -1;
  const values = starsOf(props.schema);
  return (
    <Group props={props} name="stars">
      <div class="star-row">
        {values.map((value) => (
          <label key={value} class={value <= chosen ? "star on" : "star"} title={String(value)}>
            <input
              class="sr"
              type="radio"
              name={name}
              checked={value === chosen}
              aria-label={`${value} ${value === 1 ? "star" : "stars"}`}
              onChange={() => props.onChange(value)}
            />
            {value === 0 ? <span aria-hidden="true">0</span> : <Icon name="star" size={28} />}
          </label>
        ))}
        <output aria-hidden="true">{chosen >= 0 ? chosen : ""}</output>
      </div>
    </Group>
  );
}

function Choice({ choices, ...props }: Props & { choices: readonly (readonly [value: Json, text: string])[] }) {
  const id = useId("choice");
  const same = (a: Draft, b: Json): boolean => a !== undefined && JSON.stringify(a) === JSON.stringify(b);
  if (choices.length > RADIOS_MAX)
    return (
      <Labelled id={id} props={props}>
        <select
          id={id}
          value={String(choices.findIndex(([value]) => same(props.value, value)))}
          onChange={(event) => props.onChange(choices[Number(event.currentTarget.value)]?.[0])}
        >
          <option value="-1">Please choose</option>
          {choices.map(([, text], i) => (
            <option key={i} value={i} selected={same(props.value, choices[i]?.[0] ?? null)}>
              {text}
            </option>
          ))}
        </select>
      </Labelled>
    );
  return (
    <Group props={props} name="choices">
      <div class="choice-row">
        {choices.map(([value, text]) => (
          <label key={text} class={same(props.value, value) ? "choice on" : "choice"}>
            <input
              class="sr"
              type="radio"
              name={id}
              checked={same(props.value, value)}
              onChange={() => props.onChange(value)}
            />
            {text}
          </label>
        ))}
        {props.required === false && props.value !== undefined && (
          <button type="button" class="plain" onClick={() => props.onChange(undefined)}>
            Leave out
          </button>
        )}
      </div>
    </Group>
  );
}

/** What is shown of a number, or of what was typed in its place. */
const typedText = (value: Draft): string => (isNumber(value) || typeof value === "string" ? String(value) : "");

function Slider(props: Props) {
  const id = useId();
  const { minimum, maximum, multipleOf } = props.schema as { minimum: number; maximum: number; multipleOf?: number };
  const whole = typesOf(props.schema)[0] === "integer";
  const step = multipleOf ?? (whole ? 1 : Number(((maximum - minimum) / 100).toPrecision(1)));
  const value = typeof props.value === "number" ? props.value : (minimum + maximum) / 2;
  return (
    <Labelled id={id} props={props}>
      <div class="slider">
        <span aria-hidden="true">{minimum}</span>
        <input
          id={id}
          type="range"
          min={minimum}
          max={maximum}
          step={step}
          value={value}
          class={props.value === undefined ? "untouched" : undefined}
          aria-valuetext={props.value === undefined ? "nothing chosen yet" : String(value)}
          onInput={(event) => props.onChange(Number(event.currentTarget.value))}
        />
        <span aria-hidden="true">{maximum}</span>
        <NumberBox class="slider-number" aria-label={`${props.label}, as a number`} value={props.value} onChange={props.onChange} />
      </div>
    </Labelled>
  );
}

function NumberInput(props: Props) {
  const id = useId();
  return (
    <Labelled id={id} props={props}>
      <NumberBox
        value={props.value}
        onChange={props.onChange}
        id={id}
        aria-invalid={props.fault ? true : undefined}
        aria-describedby={props.fault ? `${id}-fault` : undefined}
      />
    </Labelled>
  );
}

interface NumberBoxLooks {
  readonly id?: string;
  readonly class?: string;
  readonly "aria-label"?: string;
  readonly "aria-invalid"?: true | undefined;
  readonly "aria-describedby"?: string | undefined;
}

/** Where a number is typed. The text stays as it was typed for as long as it stands for the value. */
function NumberBox({ value, onChange, ...rest }: Pick<Props, "value" | "onChange"> & NumberBoxLooks) {
  const [text, setText] = useState("");
  return (
    <input
      {...rest}
      type="text"
      inputMode="decimal"
      autocomplete="off"
      value={numberIn(text) === value ? text : typedText(value)}
      onInput={(event) => {
        setText(event.currentTarget.value);
        onChange(numberIn(event.currentTarget.value));
      }}
    />
  );
}

function TextInput({ area = false, ...props }: Props & { area?: boolean }) {
  const id = useId();
  const text = typeof props.value === "string" ? props.value : "";
  // A field of one line drops line breaks. It stays an area when the last of them is taken out by whoever types in it.
  const usual = useRef<string | undefined>(undefined);
  usual.current ??= breakOf(text);
  const common = {
    id,
    value: asShown(text),
    "aria-invalid": props.fault ? true : undefined,
    "aria-describedby": props.fault ? `${id}-fault` : undefined,
  };
  const put = (shown: string): void => props.onChange(shown === "" ? undefined : withBreaks(shown, text, usual.current));
  return (
    <Labelled id={id} props={props}>
      {area || usual.current !== undefined ? (
        <textarea {...common} rows={4} onInput={(event) => put(event.currentTarget.value)} />
      ) : (
        <input {...common} type="text" autocomplete="off" onInput={(event) => put(event.currentTarget.value)} />
      )}
    </Labelled>
  );
}

function ObjectFields(props: Props) {
  const parts = props.schema["properties"] as Schema;
  const required = Array.isArray(props.schema["required"]) ? props.schema["required"] : [];
  const value = isObject(props.value) ? props.value : {};
  return (
    <Group props={{ ...props, fault: null }} name="object">
      {Object.entries(parts).map(([name, part]) => {
        const schema = isObject(part) ? part : {};
        const title = schema["title"];
        const needed = required.includes(name);
        const own = value[name];
        return (
          <ValueField
            key={name}
            schema={schema}
            label={typeof title === "string" && title ? title : name}
            value={own}
            required={needed}
            fault={props.fault ? draftFault(own, schema, needed) : null}
            onChange={(next) => {
              const { [name]: _, ...others } = value;
              const changed = next === undefined ? others : { ...others, [name]: next };
              props.onChange(Object.keys(changed).length ? changed : undefined);
            }}
          />
        );
      })}
      {props.fault && Object.entries(parts).every(([name, part]) => !isObject(part) || draftFault(value[name], part, required.includes(name)) === null) && (
        <p class="field-fault">{props.fault}</p>
      )}
    </Group>
  );
}

function ListFields(props: Props) {
  const items = props.schema["items"] as Schema;
  const value: readonly Json[] = Array.isArray(props.value) ? (props.value as readonly Json[]) : [];
  const put = (next: readonly Json[]): void => props.onChange(next.length ? next : undefined);
  return (
    <Group props={props} name="list">
      {value.map((item, i) => (
        <div key={i} class="row">
          <ValueField
            schema={items}
            label={`Entry ${i + 1}`}
            value={item ?? undefined}
            fault={props.fault ? draftFault(item ?? undefined, items) : null}
            onChange={(next) => put(value.map((other, j) => (j === i ? (next ?? null) : other)))}
          />
          <button type="button" aria-label={`Remove entry ${i + 1}`} onClick={() => put(value.filter((_, j) => j !== i))}>
            <Icon name="trash" />
          </button>
        </div>
      ))}
      <button type="button" onClick={() => put([...value, null])}>
        <Icon name="plus" /> <span>Add an entry</span>
      </button>
    </Group>
  );
}

function JsonInput(props: Props) {
  const id = useId();
  const [text, setText] = useState(props.value === undefined ? "" : JSON.stringify(props.value));
  const [bad, setBad] = useState(false);
  const fault = bad ? "This is no JSON. A text stands in quotes: \"like this\"." : props.fault;
  return (
    <Labelled id={id} props={{ ...props, fault: fault ?? null }}>
      <textarea
        id={id}
        class="code"
        rows={2}
        value={props.value === undefined && !bad ? "" : text}
        spellcheck={false}
        placeholder='21.5, true, "text", {"weight": 70}'
        aria-invalid={fault ? true : undefined}
        aria-describedby={fault ? `${id}-fault` : undefined}
        onInput={(event) => {
          const next = event.currentTarget.value;
          setText(next);
          try {
            props.onChange(next.trim() ? (parseJson(next) as Json) : undefined);
            setBad(false);
          } catch {
            setBad(true);
            props.onChange(undefined);
          }
        }}
      />
    </Labelled>
  );
}
