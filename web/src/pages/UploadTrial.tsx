import { useMemo, useState } from "preact/hooks";

import type { Stream, StreamPath } from "../api";
import { to } from "../lib/router";
import { compare, create, sendAll, type Sent, type Tried } from "../lib/sending";
import { timeText } from "../lib/time";
import type { Verdict } from "../lib/upload";
import { valueText } from "../plots/kinds";
import { Fault, LinkButton } from "../ui/basics";
import { CheckField } from "../ui/fields";
import { useAction } from "../ui/hooks";

const LISTED = 100;

/** What would happen, and then what did. */
export function Trial({
  path,
  stream,
  verdicts,
  wrongName,
  onDone,
}: {
  path: StreamPath;
  stream: Stream | undefined;
  verdicts: readonly Verdict[];
  wrongName: string | null;
  onDone: () => void;
}) {
  const good = useMemo(() => verdicts.filter(({ fault }) => fault === null), [verdicts]);
  const bad = verdicts.length - good.length;
  const unsure = useMemo(() => good.filter(({ note }) => note !== null).length, [good]);
  const [tried, setTried] = useState<Tried | null>(null);
  const [sent, setSent] = useState<Sent | null>(null);
  const [part, setPart] = useState(0);
  const [exists, setExists] = useState(stream !== undefined);
  const trial = useAction(async () => {
    setSent(null);
    setTried(await compare(path, exists, good, setPart));
  });
  const upload = useAction(async () => {
    if (!tried) return;
    if (!exists && !(await create(path, good))) {
      // By somebody else, or before by this page, which did not get the answer: what is in it has to be seen first.
      setTried(await compare(path, true, good, setPart));
      setExists(true);
      return;
    }
    setExists(true);
    setSent(await sendAll(path, tried.fresh, setPart));
    setTried(null);
    onDone();
  });
  const fresh = useMemo(() => new Set(tried?.fresh), [tried]);
  return (
    <section class="card" aria-labelledby="trial">
      <h2 id="trial">4. Try, then upload</h2>
      <p>
        {good.length.toLocaleString("en")} of {verdicts.length.toLocaleString("en")} rows can be used
        {bad > 0 && `; ${bad.toLocaleString("en")} cannot, and would be left out`}.
        {unsure > 0 && ` Of ${unsure.toLocaleString("en")} the clock showed the time twice or never: see line by line.`}
      </p>
      <div class="actions">
        <button
          type="button"
          class={tried ? "" : "primary"}
          disabled={trial.busy || upload.busy || !good.length || wrongName !== null}
          onClick={() => void trial.run()}
        >
          {trial.busy ? "Trying…" : "Try, without storing anything"}
        </button>
        {tried && (
          <button type="button" class="primary" disabled={upload.busy || !tried.fresh.length} onClick={() => void upload.run()}>
            {upload.busy ? "Uploading…" : `Upload ${tried.fresh.length.toLocaleString("en")} values`}
          </button>
        )}
      </div>
      {wrongName !== null &&
        (path[2] ? <p class="field-fault">The new stream needs another name: {wrongName}</p> : <p class="muted">The new stream needs a name.</p>)}
      {(trial.busy || upload.busy) && (
        <p>
          <progress max={1} value={part} aria-label={upload.busy ? "Uploading" : "Trying"} /> {Math.round(part * 100)} %
        </p>
      )}
      <Fault error={trial.error} />
      <Fault error={upload.error} retry={() => void upload.run()} />
      {tried && (
        <div role="status">
          <p>
            <strong>{tried.fresh.length.toLocaleString("en")} values would be added</strong> to {path.join("/")}
            {!stream && (exists ? ", which is there by now" : ", which would be created")}
            {tried.there > 0 && `; ${tried.there.toLocaleString("en")} are there already, and would not be doubled`}
            {tried.late > 0 && `; ${tried.late.toLocaleString("en")} are older than the newest one there, and would go where they belong in time`}.
          </p>
        </div>
      )}
      {sent && (
        <div role="status">
          <p>
            <strong>{sent.stored.toLocaleString("en")} values were stored.</strong>
            {sent.there > 0 && ` ${sent.there.toLocaleString("en")} were there already, and have not been doubled.`}
            {sent.refused.length > 0 && ` The server refused ${sent.refused.length.toLocaleString("en")}:`}
          </p>
          <ul>
            {sent.refused.slice(0, LISTED).map(({ line, why }) => (
              <li key={line}>
                Line {line}: {why}
              </li>
            ))}
          </ul>
          <LinkButton href={to("/u/{}/{}/{}", ...path) + "?range=all"} primary>
            Look at the stream
          </LinkButton>
        </div>
      )}
      <Lines verdicts={verdicts} fresh={tried ? fresh : null} />
    </section>
  );
}

function Lines({ verdicts, fresh }: { verdicts: readonly Verdict[]; fresh: ReadonlySet<Verdict> | null }) {
  const [few, setFew] = useState(false);
  const odd = useMemo(() => verdicts.filter(({ fault, note }) => fault !== null || note !== null), [verdicts]);
  const listed = few ? odd : verdicts;
  return (
    <details open={odd.length > 0}>
      <summary>Line by line</summary>
      {odd.length > 0 && (
        <CheckField label={`Only those with something wrong or not certain (${odd.length.toLocaleString("en")})`} checked={few} onChange={setFew} />
      )}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls has to be reached by keyboard */}
      <div class="scroll" role="region" tabIndex={0} aria-label="Line by line">
        <table class="values">
          <caption class="sr">What happens to each line</caption>
          <thead>
            <tr>
              <th scope="col">Line</th>
              <th scope="col">Time</th>
              <th scope="col">Value</th>
              <th scope="col">What happens</th>
            </tr>
          </thead>
          <tbody>
            {listed.slice(0, LISTED).map((verdict) => (
              <tr key={verdict.line}>
                <th scope="row">{verdict.line}</th>
                <td class="when">{verdict.fault === null || verdict.t ? timeText(verdict.t) : ""}</td>
                <td>{verdict.d === null ? "" : valueText(verdict.d, 80)}</td>
                <td class={verdict.fault === null ? "what" : "what field-fault"}>
                  {verdict.fault === null
                    ? [fresh && !fresh.has(verdict) ? "is there already" : "is added", verdict.note].filter(Boolean).join("; ")
                    : `is left out: ${verdict.fault}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {listed.length > LISTED && <p class="muted">These are the first {LISTED}.</p>}
    </details>
  );
}
