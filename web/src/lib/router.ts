/** Where the person is: the path and the query of the address. */
import { signal } from "@preact/signals";

export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
}

const here = (): Place => ({ path: window.location.pathname, query: new URLSearchParams(window.location.search) });

/** The present place. */
export const place = signal<Place>(typeof window === "undefined" ? { path: "/", query: new URLSearchParams() } : here());

/** What of the page is not saved yet, with what to do when the person does not mind that it is lost. */
const unsaved = new Map<object, () => void>();

const warn = (event: BeforeUnloadEvent): void => event.preventDefault();

/** Whoever leaves the page, by a link, back or away from the app, is asked first as long as `what` is unsaved. */
export function guardLeaving(what: object, isUnsaved: boolean, lose: () => void = () => undefined): void {
  if (isUnsaved) unsaved.set(what, lose);
  else unsaved.delete(what);
  if (unsaved.size) window.addEventListener("beforeunload", warn);
  else window.removeEventListener("beforeunload", warn);
}

export const mayLose = (): boolean => window.confirm("Leave without saving what you have changed?");

function mayLeave(): boolean {
  if (unsaved.size && !mayLose()) return false;
  for (const [what, lose] of unsaved) {
    lose();
    guardLeaving(what, false);
  }
  return true;
}

/** How many steps forward from the first page this one is: the browser does not tell which way one goes. */
let step = 0;
/** Whether the next move is one of ours, back to a page that the person does not leave after all. */
let returning = false;
const stepOf = (state: unknown): number | undefined => (state as { readonly step?: number } | null)?.step;

function write(target: string, replace: boolean): void {
  if (!replace) step++;
  window.history[replace ? "replaceState" : "pushState"]({ step }, "", target);
}

/** Go to `target`, an address of this app. */
export function navigate(target: string, { replace = false } = {}): void {
  if (!mayLeave()) return;
  write(target, replace);
  const before = place.value.path;
  place.value = here();
  if (place.value.path !== before) arrive();
}

/** Put `changes` into the query; what is null is taken out. The page stays the same. */
export function setQuery(changes: Readonly<Record<string, string | null>>, { replace = true } = {}): void {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  const target = window.location.pathname + (text ? `?${text}` : "");
  if (target === window.location.pathname + window.location.search) return;
  write(target, replace);
  place.value = here();
}

/** Whether the heading of the page that comes is to get the focus, so that a screen reader reads where one is. */
export const arriving = { now: false };

function arrive(): void {
  arriving.now = true;
  window.scrollTo(0, 0);
}

/** Links go through the app, and not through the server; but for downloads, other sites, and new tabs. */
export function startRouter(): void {
  step = stepOf(window.history.state) ?? 0;
  window.history.replaceState({ step }, "");
  window.addEventListener("popstate", (event) => {
    if (returning) {
      returning = false;
      return;
    }
    const next = stepOf(event.state);
    if (next === undefined) {
      // A link to a part of the page has been followed: that is a step, too.
      step++;
      window.history.replaceState({ step }, "");
      return;
    }
    if (next !== step && window.location.pathname !== place.value.path && !mayLeave()) {
      returning = true;
      window.history.go(step - next);
      return;
    }
    step = next;
    place.value = here();
    arriving.now = true;
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link?.href || link.target || link.hasAttribute("download")) return;
    const target = new URL(link.href);
    if (target.origin !== window.location.origin || target.pathname.startsWith("/api/")) return;
    if (target.hash && target.pathname === window.location.pathname) return;
    event.preventDefault();
    navigate(target.pathname + target.search);
  });
}

/** Fill `pattern`, as in `/u/{}/{}`, with names. */
export function to(pattern: string, ...names: readonly string[]): string {
  let i = 0;
  return pattern.replace(/{}/g, () => encodeURIComponent(names[i++] ?? ""));
}

/** The names in `path` if it is of `pattern`, as `/u/{}/{}`; else null. */
export function match(pattern: string, path: string): string[] | null {
  const wanted = pattern.split("/");
  const given = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== given.length) return null;
  const names: string[] = [];
  for (const [i, step] of wanted.entries()) {
    const found = given[i] ?? "";
    if (step === "{}") {
      if (!found) return null;
      try {
        names.push(decodeURIComponent(found));
      } catch {
        return null;
      }
    } else if (step !== found) return null;
  }
  return names;
}
