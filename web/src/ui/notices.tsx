/** Short messages that tell that something was done. They are read out, and go away by themselves. */
import { signal } from "@preact/signals";

import { Icon } from "./Icon";

interface Notice {
  readonly id: number;
  readonly text: string;
  readonly undo?: () => void;
}

const SHOWN_MS = 6000;
const notices = signal<readonly Notice[]>([]);
let last = 0;

export function notify(text: string, undo?: () => void): void {
  const id = ++last;
  notices.value = [...notices.value.slice(-2), undo ? { id, text, undo } : { id, text }];
  setTimeout(() => drop(id), undo ? 3 * SHOWN_MS : SHOWN_MS);
}

function drop(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map(({ id, text, undo }) => (
        <div class="notice" key={id}>
          <span>{text}</span>
          {undo && (
            <button
              type="button"
              onClick={() => {
                drop(id);
                undo();
              }}
            >
              Undo
            </button>
          )}
          <button type="button" class="plain" aria-label="Dismiss" onClick={() => drop(id)}>
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
