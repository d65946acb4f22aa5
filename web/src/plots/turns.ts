/** Has what is in view read by one request after the other. */
import { REST } from "../ui/hooks";

type Read = (signal: AbortSignal) => Promise<void>;

/**
 * Who looks at something else gives up what is being read. What is new where one looks is read when that has ended: given
 * up for each new value, it would never be there. And not so often that the server does little else.
 */
export class Turns {
  private asked: readonly unknown[] = [];
  private controller = new AbortController();
  private busy = false;
  private waiting: Read | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** Call `read`, which does not fail: now if `look` is another one than before, or else after what is under way. */
  take(look: readonly unknown[], read: Read): void {
    if (look.length === this.asked.length && look.every((part, i) => part === this.asked[i])) {
      if (this.busy) this.waiting = read;
      else void this.run(read);
      return;
    }
    this.end();
    this.asked = look;
    this.controller = new AbortController();
    void this.run(read);
  }

  /** Give up what is under way. */
  end(): void {
    this.controller.abort();
    clearTimeout(this.timer);
    this.asked = [];
    this.waiting = null;
    this.busy = false;
  }

  /** `before`: how many milliseconds the last one took. What took long because nothing was there yet does not do so again. */
  private async run(read: Read, before = 0): Promise<void> {
    const { signal } = this.controller;
    this.busy = true;
    const begun = performance.now();
    await read(signal);
    if (signal.aborted) return;
    const took = performance.now() - begun;
    this.timer = setTimeout(
      () => {
        const next = this.waiting;
        this.waiting = null;
        this.busy = false;
        if (next) void this.run(next, took);
      },
      REST * Math.min(took, before),
    );
  }
}
