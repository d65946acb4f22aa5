/** Who the person is. */
import { computed, signal } from "@preact/signals";

import { login, logout, readSetup, readUser, whenSignedOut, whoami, type User } from "../api";

export type Session =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly error: unknown }
  | { readonly state: "setup"; readonly key: boolean }
  | { readonly state: "nobody"; readonly ended: boolean }
  | { readonly state: "user"; readonly name: string; readonly device: string; readonly user: User };

export const session = signal<Session>({ state: "loading" });

/** The name of the user; empty if nobody is signed in. */
export const myName = computed(() => (session.value.state === "user" ? session.value.name : ""));
export const isAdmin = computed(() => session.value.state === "user" && session.value.user.role === "admin");

/** Find out who is signed in. */
export async function loadSession(): Promise<void> {
  try {
    const path = await whoami();
    const [name, device] = path.split("/");
    if (name && device) {
      session.value = { state: "user", name, device, user: await readUser(name) };
      return;
    }
    const setup = await readSetup();
    session.value = setup.needed ? { state: "setup", key: setup.key } : { state: "nobody", ended: false };
  } catch (error) {
    session.value = { state: "failed", error };
  }
}

export async function signIn(name: string, password: string, remember: boolean): Promise<void> {
  await login(name, password, remember);
  await loadSession();
}

export async function signOut(): Promise<void> {
  await logout();
  session.value = { state: "nobody", ended: false };
}

whenSignedOut(() => {
  if (session.value.state === "user") session.value = { state: "nobody", ended: true };
});

/** To be called where something was refused that should not have been: is the session still there? */
export async function checkSession(): Promise<void> {
  if (session.value.state === "user" && (await whoami()) === "nobody") session.value = { state: "nobody", ended: true };
}
