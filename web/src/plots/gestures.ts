import { useEffect, useRef } from "preact/hooks";

import { held, moved, zoomed, type Span } from "./range";

/** Where on the screen the times of a plot are: its left edge and its width, in pixels of the page. */
export interface Area {
  readonly left: number;
  readonly width: number;
}

const WHEEL = 0.0015;

/**
 * Moving and zooming in time, by whatever a person has: one finger or the mouse moves, two fingers or the wheel zoom,
 * arrow keys, plus and minus do either. A finger that goes up or down scrolls the page, as anywhere else.
 */
export function useGestures(
  element: { readonly current: HTMLElement | null },
  areaOf: () => Area | null,
  span: Span,
  onSpan: (span: Span) => void,
): void {
  const latest = useRef({ span, onSpan, areaOf });
  latest.current = { span, onSpan, areaOf };
  useEffect(() => {
    const target = element.current;
    if (!target) return undefined;
    const fingers = new Map<number, number>();
    let begun: { readonly span: Span; readonly at: readonly number[] } | null = null;
    let wanted: Span | null = null;
    let frame = 0;

    const put = (next: Span): void => {
      wanted = held(next);
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        if (wanted) latest.current.onSpan(wanted);
      });
    };
    const restart = (): void => {
      begun = fingers.size ? { span: wanted ?? latest.current.span, at: [...fingers.values()] } : null;
      if (!fingers.size) wanted = null;
    };
    const down = (event: PointerEvent): void => {
      const area = latest.current.areaOf();
      if (event.button !== 0 || !area || event.clientX < area.left || fingers.size > 1) return;
      if (event.target instanceof Element && event.target.closest("button, a, select, input")) return;
      fingers.set(event.pointerId, event.clientX);
      restart();
    };
    const move = (event: PointerEvent): void => {
      const area = latest.current.areaOf();
      if (!fingers.has(event.pointerId) || !begun || !area) return;
      if (!target.hasPointerCapture(event.pointerId)) target.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event.clientX);
      const { t1, t2 } = begun.span;
      const perPixel = (t2 - t1) / area.width;
      const [a = 0, b] = begun.at;
      const [x = 0, y] = [...fingers.values()];
      if (b === undefined || y === undefined) {
        const by = (a - x) * perPixel;
        put({ t1: t1 + by, t2: t2 + by });
        return;
      }
      const factor = Math.max(20, Math.abs(b - a)) / Math.max(20, Math.abs(y - x));
      const middle = t1 + ((a + b) / 2 - area.left) * perPixel;
      const length = (t2 - t1) * factor;
      const start = middle - ((((x + y) / 2 - area.left) / area.width) * length);
      put({ t1: start, t2: start + length });
    };
    const up = (event: PointerEvent): void => {
      if (fingers.delete(event.pointerId)) restart();
    };
    const wheel = (event: WheelEvent): void => {
      const area = latest.current.areaOf();
      if (!area || event.clientX < area.left) return;
      event.preventDefault();
      const from = wanted ?? latest.current.span;
      const pixels = event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) put(moved(from, event.deltaX / area.width));
      else {
        const at = from.t1 + ((event.clientX - area.left) / area.width) * (from.t2 - from.t1);
        put(zoomed(from, Math.exp(Math.max(-400, Math.min(400, pixels)) * WHEEL), at));
      }
      if (!fingers.size) setTimeout(() => (wanted = fingers.size ? wanted : null), 50);
    };
    const key = (event: KeyboardEvent): void => {
      if (event.target !== target || event.ctrlKey || event.metaKey || event.altKey) return;
      const now = latest.current.span;
      const next: Readonly<Record<string, () => Span>> = {
        ArrowLeft: () => moved(now, event.shiftKey ? -1 : -0.1),
        ArrowRight: () => moved(now, event.shiftKey ? 1 : 0.1),
        "+": () => zoomed(now, 0.5),
        "=": () => zoomed(now, 0.5),
        "-": () => zoomed(now, 2),
      };
      const found = next[event.key];
      if (found === undefined) return;
      event.preventDefault();
      latest.current.onSpan(found());
    };
    target.addEventListener("pointerdown", down);
    target.addEventListener("pointermove", move);
    target.addEventListener("pointerup", up);
    target.addEventListener("pointercancel", up);
    target.addEventListener("wheel", wheel, { passive: false });
    target.addEventListener("keydown", key);
    return () => {
      cancelAnimationFrame(frame);
      target.removeEventListener("pointerdown", down);
      target.removeEventListener("pointermove", move);
      target.removeEventListener("pointerup", up);
      target.removeEventListener("pointercancel", up);
      target.removeEventListener("wheel", wheel);
      target.removeEventListener("keydown", key);
    };
  }, []);
}
