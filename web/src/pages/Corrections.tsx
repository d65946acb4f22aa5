import { useEffect, useState } from "preact/hooks";

import { correctedUrl, listCorrections, readCorrected, undoCorrection, type Correction, type StreamPath } from "../api";
import { timeText } from "../lib/time";
import { valueText } from "../plots/kinds";
import { Fault, Loading } from "../ui/basics";
import { useAction, useLoad } from "../ui/hooks";
import { notify } from "../ui/notices";
import { plural } from "./User";

const SHOWN = 20;
const SHOWN_MAX = 1000;
/** So many of the values that were there before are listed; of more than `READ_MAX` none is read for it. */
const LISTED = 20;
const READ_MAX = 10_000;
const NOTHING = Promise.resolve([]);

/** What has been corrected in a stream, newest first; it can be undone. */
export function Corrections({ path, revision }: { path: StreamPath; revision: number }) {
  const [shown, setShown] = useState(SHOWN);
  const found = useLoad((signal) => listCorrections(path, Math.min(shown + 1, SHOWN_MAX), signal), [path, shown]);
  useEffect(() => {
    if (revision) found.reload();
  }, [revision]);
  const action = useAction(async (one: Correction) => {
    await undoCorrection(path, one.id ?? 0);
    notify("Undone.");
    found.reload();
  });
  const all = found.data ?? [];
  return (
    <>
      <Fault error={found.error} retry={found.reload} />
      <Fault error={action.error} />
      {found.loading && !found.data && <Loading what="Reading" />}
      {found.data && all.length === 0 && <p class="muted">Nothing has been corrected.</p>}
      <ol class="corrections" aria-label="Corrections, newest first">
        {all.slice(0, shown).map((one) => (
          <li key={one.id}>
            <div>
              <p>
                <strong>{whatOf(one)}</strong>
                {one.why && <>: “{one.why}”</>}
                <br />
                <span class="small muted">
                  {timeText(one.at)}, by {one.by || "the server"}
                  {one.undone ? "; undone" : one.kind !== "undone" && one.kept !== true ? "; cannot be undone" : ""}
                </span>
              </p>
              {one.kept && one.kind !== "undone" && <Before path={path} correction={one} />}
            </div>
            {one.kept && !one.undone && one.kind !== "undone" && (
              <button type="button" disabled={action.busy} onClick={() => void action.run(one)}>
                Undo<span class="sr">: {whatOf(one)}, {timeText(one.at)}</span>
              </button>
            )}
          </li>
        ))}
      </ol>
      {all.length > shown && (
        <button type="button" onClick={() => setShown(Math.min(4 * shown, SHOWN_MAX))}>
          Show older ones
        </button>
      )}
    </>
  );
}

/** The values that were there before, for who opens it. */
function Before({ path, correction: { id = 0, n = 0 } }: { path: StreamPath; correction: Correction }) {
  const [open, setOpen] = useState(false);
  const found = useLoad((signal) => (open && n <= READ_MAX ? readCorrected(path, id, signal) : NOTHING), [path, id, open]);
  const points = found.data ?? [];
  return (
    <details class="small" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>What was there</summary>
      <Fault error={found.error} retry={found.reload} />
      {open && found.loading && <Loading what="Reading" />}
      <ul>
        {points.slice(0, LISTED).map(({ t, d }, i) => (
          <li key={i}>
            {timeText(t)}: {valueText(d)}
          </li>
        ))}
      </ul>
      {n > LISTED && (
        <p>
          {n <= READ_MAX && `These are the first ${LISTED} of ${plural(n, "value")}. `}
          <a href={correctedUrl(path, id, "csv")} download>
            All {plural(n, "value")} as CSV
          </a>
        </p>
      )}
    </details>
  );
}

const DONE = { deleted: "Deleted", updated: "Changed", undone: "Took back a correction of" } as const;

/** `Deleted 3 values, 2026-11-23 15:04:05 to 2026-11-23 15:06:05`. */
function whatOf({ kind, n = 0, t1 = 0, t2 = 0 }: Correction): string {
  const from = timeText(t1);
  const to = timeText(t2);
  return `${DONE[kind]} ${n === 1 ? `the value of ${from}` : `${plural(n, "value")}, ${from === to ? from : `${from} to ${to}`}`}`;
}
