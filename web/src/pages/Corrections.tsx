import { useEffect, useState } from "preact/hooks";

import { listCorrections, undoCorrection, type Correction, type StreamPath } from "../api";
import { timeText } from "../lib/time";
import { Fault, Loading } from "../ui/basics";
import { useAction, useLoad } from "../ui/hooks";
import { notify } from "../ui/notices";
import { plural } from "./User";

const SHOWN = 20;
const SHOWN_MAX = 1000;

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
            <p>
              <strong>{whatOf(one)}</strong>
              {one.why && <>: “{one.why}”</>}
              <br />
              <span class="small muted">
                {timeText(one.at)}, by {one.by || "the server"}
                {one.undone ? "; undone" : one.kind !== "undone" && one.kept !== true ? "; cannot be undone" : ""}
              </span>
            </p>
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

const DONE = { deleted: "Deleted", updated: "Changed", undone: "Took back a correction of" } as const;

/** `Deleted 3 values, 2026-11-23 15:04:05 to 2026-11-23 15:06:05`. */
function whatOf({ kind, n = 0, t1 = 0, t2 = 0 }: Correction): string {
  const from = timeText(t1);
  const to = timeText(t2);
  return `${DONE[kind]} ${n === 1 ? `the value of ${from}` : `${plural(n, "value")}, ${from === to ? from : `${from} to ${to}`}`}`;
}
