import { useState } from "preact/hooks";

import { Dialog } from "./Dialog";
import { TextField } from "./fields";
import { useId } from "./hooks";
import { loadPictures, ObjectIcon, pictureOf } from "./ObjectIcon";
import { notify } from "./notices";

const SIZE = 128;

/** Chooses an icon: one of those with names, or a picture of one's own. */
export function IconField({ value, name, onChange }: { value: string; name: string; onChange: (icon: string) => void }) {
  const [open, setOpen] = useState(false);
  const file = useId();
  const own = pictureOf(value) !== null;
  return (
    <fieldset class="icon-field">
      <legend>Icon</legend>
      <div class="actions">
        <ObjectIcon icon={value} name={name || "?"} size={48} />
        <button type="button" onClick={() => setOpen(true)}>
          Choose an icon
        </button>
        {value && (
          <button type="button" onClick={() => onChange("")}>
            No icon
          </button>
        )}
      </div>
      {open && (
        <Dialog title="Choose an icon" onClose={() => setOpen(false)}>
          <ul class="icon-grid">
            {Object.keys(loadPictures().value ?? {}).map((key) => (
              <li key={key}>
                <button
                  type="button"
                  aria-label={key.replace(/_/g, " ")}
                  title={key.replace(/_/g, " ")}
                  aria-pressed={value === `material:${key}`}
                  onClick={() => {
                    onChange(`material:${key}`);
                    setOpen(false);
                  }}
                >
                  <ObjectIcon icon={`material:${key}`} name={key} size={36} />
                </button>
              </li>
            ))}
          </ul>
          <div class="field">
            <label for={file}>Or a picture of your own</label>
            <input
              id={file}
              type="file"
              accept="image/*"
              onChange={(event) => {
                const chosen = event.currentTarget.files?.[0];
                if (chosen)
                  shrink(chosen).then(
                    (data) => {
                      onChange(data);
                      setOpen(false);
                    },
                    () => notify("This file is no picture that the browser can read."),
                  );
              }}
            />
          </div>
          {!own && (
            <TextField
              label="Or by its name"
              value={value}
              onInput={onChange}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              help="material:NAME or fa:NAME, 30 characters at most."
            />
          )}
        </Dialog>
      )}
    </fieldset>
  );
}

/** Returns the picture in `file`, made small, as a data URI. */
async function shrink(file: File): Promise<string> {
  const picture = await createImageBitmap(file);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const scale = Math.min(SIZE / picture.width, SIZE / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  canvas.getContext("2d")?.drawImage(picture, (SIZE - width) / 2, (SIZE - height) / 2, width, height);
  return canvas.toDataURL("image/png");
}
