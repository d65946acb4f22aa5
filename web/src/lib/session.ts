/** Who the person is. */
import { computed, signal } from "@preact/signals";

import { login, logout, Problem, readSetup, readUser, told, whenSignedOut, whoami, type Stream, type User } from "../api";
import { dropDrafts } from "./drafts";
import { kept } from "./settings";

export type Session =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "setup"; readonly key: boolean }
  | { readonly state: "nobody"; readonly ended: boolean }
  | { readonly state: "user"; readonly name: string; readonly device: string; readonly user: User };

export const session = signal<Session>({ state: "loading" });

/** Who was signed in when the server last answered: without one, that is who may enter something for later. */
const lastUser = kept<{ readonly name: string; readonly device: string; readonly user: User } | null>("last-user", null, {
  type: ["object", "null"],
  required: ["name", "device", "user"],
  properties: { name: { type: "string" }, device: { type: "string" }, user: { type: "object" } },
});

/** The streams that are to be filled by hand, as they were then. */
export const lastSeen = kept<{ readonly user?: string; readonly inputs?: readonly Stream[] }>("last-seen", {}, {
  type: "object",
  properties: { user: { type: "string" }, inputs: { type: "array", items: { type: "object" } } },
});

/** Whether the browser is to know the person when it is opened again: what was last chosen. */
export const remembered = kept("remember", true);

/** The name of the user; empty if nobody is signed in. */
export const myName = computed(() => (session.value.state === "user" ? session.value.name : ""));
export const isAdmin = computed(() => session.value.state === "user" && session.value.user.role === "admin");

/** Find out who is signed in. */
export async function loadSession(): Promise<void> {
  try {
    const path = await whoami();
    const [name, device] = path.split("/");
    if (name && device) {
      dropDrafts(name);
      const user = await readUser(name);
      // A picture may be large, and nobody needs it then.
      lastUser.value = { name, device, user: { ...user, icon: "" } };
      session.value = { state: "user", name, device, user };
      return;
    }
    forget();
    const setup = await readSetup();
    session.value = setup.needed ? { state: "setup", key: setup.key } : { state: "nobody", ended: false };
  } catch (error) {
    const last = lastUser.value;
    if (last && error instanceof Problem && error.offline) session.value = { state: "user", ...last };
    else session.value = { state: "failed", error };
  }
}

/** Leave nothing for who comes next; but for entries that have not been sent. */
function forget(): void {
  lastUser.value = null;
  lastSeen.value = {};
}

export async function signIn(name: string, password: string, remember: boolean): Promise<void> {
  await login(name, password, remember);
  remembered.value = remember;
  await loadSession();
}

export async function signOut(): Promise<void> {
  // Before anything can fail.
  forget();
  dropDrafts();
  try {
    await logout();
  } catch (error) {
    throw new Error(`You are still signed in. ${told(error)}`);
  }
  session.value = { state: "nobody", ended: false };
}

function end(): void {
  if (session.value.state !== "user") return;
  forget();
  session.value = { state: "nobody", ended: true };
}

whenSignedOut(end);

/** To be called where something was refused that should not have been: is it still the same person who asks? */
export async function checkSession(signal?: AbortSignal): Promise<void> {
  if (session.value.state !== "user") return;
  const path = await whoami(signal);
  if (path === "nobody") end();
  else if (path.split("/")[0] !== myName.value) await loadSession();
}
