/** What a person has chosen in this browser. */
import { effect, signal, type Signal } from "@preact/signals";

export function kept<T>(key: string, initial: T): Signal<T> {
  const name = `connectordb.${key}`;
  let first = initial;
  try {
    const stored = localStorage.getItem(name);
    if (stored !== null) first = JSON.parse(stored) as T;
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
