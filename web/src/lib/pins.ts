/** Plots that a person wants to see on the home page. They are kept in this browser, for each user. */
import { computed } from "@preact/signals";

import { myName } from "./session";
import { kept } from "./settings";

export interface Pin {
  readonly title: string;
  readonly path: readonly [user: string, device: string, stream: string];
  /** The query of the address of the stream's page. */
  readonly query: string;
}

const all = kept<Readonly<Record<string, readonly Pin[]>>>("pins", {});

export const pins = computed(() => all.value[myName.value] ?? []);

const same = (a: Pin, b: Pin): boolean => a.path.join("/") === b.path.join("/") && a.query === b.query;

export const isPinned = (pin: Pin): boolean => pins.value.some((known) => same(known, pin));

export function togglePin(pin: Pin): boolean {
  const pinned = isPinned(pin);
  const others = pins.value.filter((known) => !same(known, pin));
  all.value = { ...all.value, [myName.value]: pinned ? others : [...others, pin] };
  return !pinned;
}
