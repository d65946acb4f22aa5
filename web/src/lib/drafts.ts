/**
 * Longer texts that are being typed. They are kept for as long as the tab lives, each for whom typed it: a session may end
 * at any time, and takes the page with it.
 */
import { parseJson } from "../api/exact";
import type { Json } from "../api/client";

const STORE = "connectordb.draft.";
const placeOf = (user: string, path: readonly string[]): string => `${STORE}${user} ${path.join("/")}`;

export function readDraft(user: string, path: readonly string[]): Json | undefined {
  try {
    return parseJson(sessionStorage.getItem(placeOf(user, path)) ?? "") as Json;
  } catch {
    return undefined;
  }
}

/** Keep `value` as what `user` is entering into the stream `path`; undefined: nothing. */
export function keepDraft(user: string, path: readonly string[], value: Json | undefined): void {
  try {
    if (value === undefined) sessionStorage.removeItem(placeOf(user, path));
    else sessionStorage.setItem(placeOf(user, path), JSON.stringify(value));
  } catch {
    // The browser keeps nothing for us.
  }
}

function places(): string[] {
  try {
    return Object.keys(sessionStorage).filter((place) => place.startsWith(STORE));
  } catch {
    return [];
  }
}

export const hasDrafts = (): boolean => places().length > 0;

/** Drop what anybody but `user` has typed; of nobody: all. */
export function dropDrafts(user = ""): void {
  for (const place of places()) if (!place.startsWith(placeOf(user, []))) sessionStorage.removeItem(place);
}
