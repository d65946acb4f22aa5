import { useEffect, useState } from "preact/hooks";

import { listUsers, listUserStreams } from "../api";
import { SelectField, TextField } from "./fields";
import { useId, useLoad } from "./hooks";

const OTHER = "other";
const WAIT_MS = 300;
const OFFERED = 500;

/** Chooses a stream by its path: one's own from a list, and those of other users by typing, with what there is offered. */
export function StreamField({
  label,
  value,
  onChange,
  own,
  first = ["", "Choose a stream"],
}: {
  label: string;
  value: string;
  onChange: (path: string) => void;
  /** One's own: path and name. */
  own: readonly (readonly [string, string])[];
  /** What stands before them. */
  first?: readonly [string, string];
}) {
  const [typing, setTyping] = useState(false);
  const known = value === "" || own.some(([path]) => path === value);
  const other = typing || !known;
  return (
    <>
      <SelectField
        label={label}
        value={other ? OTHER : value}
        options={[first, ...own, [OTHER, "one of another user…"]]}
        onChange={(chosen) => {
          setTyping(chosen === OTHER);
          onChange(chosen === OTHER ? "" : chosen);
        }}
      />
      {other && <PathField label={`${label}: its path`} value={value} onChange={onChange} />}
    </>
  );
}

function PathField({ label, value, onChange }: { label: string; value: string; onChange: (path: string) => void }) {
  const id = useId("paths");
  const [user, setUser] = useState("");
  const typed = value.includes("/") ? (value.split("/")[0] ?? "") : "";
  useEffect(() => {
    const timer = setTimeout(() => setUser(typed), WAIT_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  // What may not be seen is not offered; who knows its path can type it, and is told then.
  const offered = useLoad(
    async (signal) => {
      try {
        if (!user) return (await listUsers(signal)).map(({ name }) => `${name}/`);
        return (await listUserStreams(user, signal)).map(({ device, name }) => `${user}/${device}/${name}`);
      } catch {
        return [];
      }
    },
    [user],
  );
  return (
    <>
      <TextField
        label={label}
        value={value}
        onInput={(text) => onChange(text.trim())}
        list={id}
        placeholder="user/device/stream"
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
      />
      <datalist id={id}>
        {offered.data?.slice(0, OFFERED).map((path) => (
          <option key={path} value={path} />
        ))}
      </datalist>
    </>
  );
}
