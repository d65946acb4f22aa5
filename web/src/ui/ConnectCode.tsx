import { renderSVG } from "uqr";
import { useMemo, useState } from "preact/hooks";

import type { Stream } from "../api";
import { CopyButton } from "./basics";
import { Icon } from "./Icon";

const KINDS = [
  ["python", "Python"],
  ["curl", "curl"],
  ["key", "Address and key"],
] as const;
type Kind = (typeof KINDS)[number][0];

/** Code to be pasted into a program or a shell, with the address and the key that it needs; and as a QR code. */
export function ConnectCode(props: { user: string; device: string; apikey: string; stream?: Stream | undefined }) {
  const [kind, setKind] = useState<Kind>("python");
  const [qr, setQr] = useState(false);
  const text = codeOf(kind, { ...props, url: window.location.origin });
  const title = KINDS.find(([key]) => key === kind)?.[1] ?? "";
  return (
    <div class="connect">
      <div class="segments" role="group" aria-label="For">
        {KINDS.map(([key, label]) => (
          <button key={key} type="button" aria-pressed={kind === key} onClick={() => setKind(key)}>
            {label}
          </button>
        ))}
      </div>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
      <pre tabIndex={0} role="region" aria-label={`Code: ${title}`}>
        <code>{text}</code>
      </pre>
      <div class="actions">
        <CopyButton text={text} what={kind === "key" ? "address and key" : `code for ${title}`} />
        <button type="button" aria-expanded={qr} onClick={() => setQr(!qr)}>
          <Icon name="copy" /> <span>{qr ? "Hide the QR code" : "Show as a QR code"}</span>
        </button>
      </div>
      {qr && <Qr text={text} label={`QR code of the ${kind === "key" ? "address and key" : `code for ${title}`}`} />}
    </div>
  );
}

function Qr({ text, label }: { text: string; label: string }) {
  const source = useMemo(() => {
    const svg = renderSVG(text, { ecc: "L", border: 4 });
    return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  }, [text]);
  return <img class="qr" src={source} alt={label} width={320} height={320} />;
}

interface Given {
  readonly url: string;
  readonly user: string;
  readonly device: string;
  readonly apikey: string;
  readonly stream?: Stream | undefined;
}

function codeOf(kind: Kind, { url, user, device, apikey, stream }: Given): string {
  const name = stream?.name ?? "temperature";
  const schema = stream?.schema ?? '{"type":"number"}';
  const example = JSON.stringify(exampleOf(schema));
  if (kind === "key") return `${url}\n${user}/${device}\n${apikey}`;
  if (kind === "curl") {
    const at = `${url}/api/v1/crud/${user}/${device}/${name}`;
    const make = `curl -u ':${apikey}' -X POST '${at}' -d '${quoted(JSON.stringify({ schema }))}'\n`;
    return `${stream ? "" : make}curl -u ':${apikey}' -X POST '${at}/data' -d '${quoted(`[{"d": ${example}}]`)}'`;
  }
  return `from connectordb.logger import Logger


def on_create(l):
    # Called once, when the file is new
    l.serverurl = ${pythonOf(url)}
    l.apikey = ${pythonOf(apikey)}
    l.addStream(${pythonOf(name)}, ${pythonOf(JSON.parse(schema || "{}"))})


# Keeps everything in this file until the server has it
l = Logger(${pythonOf(`${device}.db`)}, on_create=on_create)

l.insert(${pythonOf(name)}, ${pythonOf(exampleOf(schema))})
l.sync()  # or l.start(), which uploads every ten minutes`;
}

const quoted = (text: string): string => text.replaceAll("'", `'\\''`);

/** As Python writes it. */
function pythonOf(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonOf).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, part]) => `${pythonOf(key)}: ${pythonOf(part)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

/** A value that fits. */
function exampleOf(schema: string): unknown {
  const { type, enum: choices, minimum, properties, minLength } = JSON.parse(schema || "{}") as Record<string, unknown>;
  if (Array.isArray(choices)) return choices[0];
  const at = typeof minimum === "number" ? minimum : undefined;
  switch (Array.isArray(type) ? (type[0] as unknown) : type) {
    case "integer":
      return at ?? 42;
    case "boolean":
      return true;
    case "string":
      return typeof minLength === "number" && minLength > 5 ? "x".repeat(Math.min(minLength, 40)) : "hello";
    case "array":
      return [];
    case "object":
      return Object.fromEntries(
        Object.entries((properties ?? {})).map(([name, part]) => [name, exampleOf(JSON.stringify(part))]),
      );
    default:
      return at ?? 21.5;
  }
}
