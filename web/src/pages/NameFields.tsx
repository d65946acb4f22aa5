import { useState } from "preact/hooks";

import { nameOf } from "../lib/names";
import { AreaField, TextField } from "../ui/fields";
import { IconField } from "../ui/IconField";

export interface Named {
  readonly name: string;
  readonly nickname: string;
  readonly description: string;
  readonly icon: string;
}

/** How a device or a stream is called, and what it looks like. A new one gets its name from the one that is shown. */
export function NameFields({
  kind,
  at,
  fresh,
  values,
  patch,
  fault,
  placeholder = "",
}: {
  kind: "device" | "stream";
  /** The path of what it is in. */
  at: string;
  fresh: boolean;
  values: Named;
  patch: (changes: Partial<Named>) => void;
  /** What is wrong with the name, which is told when the person has typed one, or with `tried`. */
  fault: { readonly text: string | null; readonly tried: boolean };
  placeholder?: string;
}) {
  const [ownName, setOwnName] = useState(false);
  return (
    <>
      <TextField
        label="Shown name"
        value={values.nickname}
        onInput={(nickname) => patch(fresh && !ownName ? { nickname, name: nameOf(nickname) } : { nickname })}
        autocomplete="off"
        placeholder={placeholder}
      />
      {fresh && (
        <TextField
          label="Name"
          value={values.name}
          onInput={(name) => {
            setOwnName(true);
            patch({ name });
          }}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          required
          help={`Programs call the ${kind} ${at}/${values.name || "…"}. It cannot be changed later.`}
          fault={fault.tried || ownName ? fault.text : null}
        />
      )}
      <AreaField label="Description" value={values.description} onInput={(description) => patch({ description })} />
      <IconField value={values.icon} name={values.nickname || values.name} onChange={(icon) => patch({ icon })} />
    </>
  );
}
