import { useState } from "preact/hooks";

import { localInput, parseLocal, zone } from "../lib/time";
import { TextField } from "../ui/fields";
import { usePressedShown } from "../ui/hooks";
import { Icon, type IconName } from "../ui/Icon";
import { moved, RANGES, zoomed, type Span } from "./range";

/** Which times are in view: by words, by buttons, or to the second. */
export function RangeBar({
  span,
  current,
  onSpan,
  onRange,
}: {
  span: Span;
  /** The range that was chosen by its word: `1d`, `all`; `auto`: what is newest. */
  current: string;
  onSpan: (span: Span) => void;
  onRange: (key: string) => void;
}) {
  const [exact, setExact] = useState(false);
  const ranges = usePressedShown(current);
  return (
    <div class="range">
      <div class="segments" ref={ranges} role="group" aria-label="Time in view">
        {[["auto", "Newest"] as const, ...RANGES.map(([key, text]) => [key, text] as const), ["all", "All"] as const].map(
          ([key, text]) => (
            <button key={key} type="button" aria-pressed={current === key} onClick={() => onRange(key)}>
              {text}
            </button>
          ),
        )}
      </div>
      <div class="segments" role="group" aria-label="Move and zoom">
        <Key icon="back" label="Earlier" onClick={() => onSpan(moved(span, -0.5))} />
        <Key icon="zoomIn" label="Closer" onClick={() => onSpan(zoomed(span, 0.5))} />
        <Key icon="zoomOut" label="Further away" onClick={() => onSpan(zoomed(span, 2))} />
        <Key icon="next" label="Later" onClick={() => onSpan(moved(span, 0.5))} />
        <button type="button" aria-expanded={exact} onClick={() => setExact(!exact)}>
          <Icon name="clock" size={18} /> <span>From… to…</span>
        </button>
      </div>
      {exact && <Exact span={span} onSpan={onSpan} />}
    </div>
  );
}

function Key({ icon, label, onClick }: { icon: IconName; label: string; onClick: () => void }) {
  return (
    <button type="button" aria-label={label} title={label} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

function Exact({ span, onSpan }: { span: Span; onSpan: (span: Span) => void }) {
  const [from, setFrom] = useState(() => localInput(span.t1));
  const [to, setTo] = useState(() => localInput(span.t2));
  const [tried, setTried] = useState(false);
  const t1 = parseLocal(from);
  const t2 = parseLocal(to);
  const fault = t1 !== null && t2 !== null && t2 <= t1 ? "The end has to be after the beginning." : null;
  return (
    <form
      class="row"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setTried(true);
        if (t1 !== null && t2 !== null && fault === null) onSpan({ t1, t2 });
      }}
    >
      <TextField type="datetime-local" label="From" step={1} value={from} onInput={setFrom} fault={tried && t1 === null ? "Please give date and time." : null} />
      <TextField type="datetime-local" label="To" step={1} value={to} onInput={setTo} fault={tried ? (t2 === null ? "Please give date and time." : fault) : null} />
      <button type="submit">Show</button>
      <p class="help">Times are those in {zone.value}.</p>
    </form>
  );
}
