/** What a person has chosen in this browser. */
import { effect, signal, type Signal } from "@preact/signals";

import type { Json } from "../api/client";
import { typeOf, valueFault, type Schema } from "./schema";

/** What is kept here does not count if it does not fit `schema`: another version, or anybody, may have written it. */
export function kept<T>(key: string, initial: T, schema: Schema = { type: typeOf(initial as Json) }): Signal<T> {
  const name = `connectordb.${key}`;
  let first = initial;
  try {
    const stored = localStorage.getItem(name);
    const found = JSON.parse(stored ?? "null") as Json;
    if (stored !== null && valueFault(found, schema) === null) first = found as T;
  } catch {
    // Not to be read, as in a private window: the choice lasts as long as the page.
  }
  const value = signal(first);
  let begun = false;
  effect(() => {
    const text = JSON.stringify(value.value);
    if (begun) {
      try {
        localStorage.setItem(name, text);
      } catch {
        // As above.
      }
    }
    begun = true;
  });
  return value;
}

export type Theme = "auto" | "light" | "dark";
export const theme = kept<Theme>("theme", "auto");

export function startTheme(): void {
  effect(() => {
    const root = document.documentElement;
    if (theme.value === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme.value);
  });
}
