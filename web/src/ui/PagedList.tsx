import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";

import { useId } from "./hooks";

const SHOWN = 60;

/** A list of any length: some are shown, more on demand, and a few letters find any. */
export function PagedList<T>({
  items,
  keyOf,
  wordsOf,
  what,
  children,
}: {
  items: readonly T[];
  keyOf: (item: T) => string;
  wordsOf: (item: T) => string;
  /** What they are, as in `streams`. */
  what: string;
  children: (item: T) => ComponentChildren;
}) {
  const [sought, setSought] = useState("");
  const [shown, setShown] = useState(SHOWN);
  const id = useId();
  const found = useMemo(() => {
    const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return items;
    return items.filter((item) => {
      const text = wordsOf(item).toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }, [items, sought]);
  const searchable = items.length > 8;
  return (
    <div class="paged">
      {searchable && (
        <div class="find">
          <label for={id}>Find among {items.length.toLocaleString("en")} {what}</label>
          <input
            id={id}
            type="search"
            value={sought}
            autocomplete="off"
            onInput={(event) => {
              setSought(event.currentTarget.value);
              setShown(SHOWN);
            }}
          />
          <p class="sr" role="status">
            {sought && `${found.length.toLocaleString("en")} found`}
          </p>
        </div>
      )}
      {found.length === 0 && sought && <p class="muted">None of the {what} is called like that.</p>}
      <ul class="tiles">
        {found.slice(0, shown).map((item) => (
          <li key={keyOf(item)}>{children(item)}</li>
        ))}
      </ul>
      {found.length > shown && (
        <button type="button" onClick={() => setShown(shown + 4 * SHOWN)}>
          Show more ({(found.length - shown).toLocaleString("en")} not shown)
        </button>
      )}
    </div>
  );
}
