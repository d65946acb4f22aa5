import { useEffect, useMemo, useRef } from "preact/hooks";

import { countPoints, indexAt, listUserStreams, queried, queryDataset, type StreamPath } from "../api";
import { correlation } from "../lib/stats";
import { isObject } from "../lib/schema";
import { timeText } from "../lib/time";
import { Empty, Fault, Loading } from "../ui/basics";
import { SelectField } from "../ui/fields";
import { useLoad } from "../ui/hooks";
import { numberText } from "./kinds";
import { savePicture, usePalette, useWidth } from "./looks";
import { ramp } from "./MapPlot";
import { niceWidth } from "./Bars";
import type { Span } from "./range";

const POINTS = 20_000;
const HEIGHT = 420;
const LEFT = 60;
const FOOT = 46;

interface Pair {
  readonly t: number;
  readonly x: number;
  readonly y: number;
}

/** Two streams against each other: each value of this one, and the value that the other one had at that time. */
export default function Scatter({
  path,
  transform,
  span,
  inView,
  other,
  onOther,
  revision,
  label,
  saveAs,
}: {
  path: StreamPath;
  transform: string;
  span: Span;
  inView: string;
  /** Path of the other stream; empty: not chosen yet. */
  other: string;
  onOther: (path: string) => void;
  revision: number;
  label: string;
  saveAs?: (save: ((name: string) => void) | null) => void;
}) {
  const [user, device, stream] = path;
  const own = path.join("/");
  const streams = useLoad((signal) => listUserStreams(user, signal), [user]);
  const choice = (streams.data ?? [])
    .filter(({ schema = "" }) => !/"type":"(string|object|array)"/.test(schema))
    .map((found) => [`${user}/${found.device}/${found.name}`, found.nickname ? `${found.nickname} (${found.device})` : `${found.device}/${found.name}`] as const)
    .filter(([key]) => key !== own);
  const found = useLoad(
    async (signal) => {
      if (!other) return null;
      const [i1, i2] = await Promise.all([indexAt([user, device, stream], span.t1, signal), indexAt(path, span.t2, signal)]);
      const n = i2 - i1;
      const all = await countPoints(path, false, signal);
      // Of very many each so many-th: a picture has no room for more.
      const each = Math.ceil(n / POINTS);
      const thinning = each > 1 && all > 0 ? `if i % ${each} == 0` : "";
      const rows = await queryDataset(
        {
          stream: own,
          ...queried(span),
          ...([transform, thinning].some(Boolean) ? { transform: [transform, thinning].filter(Boolean).join(" | ") } : {}),
          dataset: { y: { stream: other, interpolator: "closest" } },
        },
        signal,
      );
      const pairs: Pair[] = [];
      for (const { t, d } of rows) {
        if (!isObject(d)) continue;
        const { x, y } = d;
        if (typeof x === "number" && typeof y === "number") pairs.push({ t, x, y });
      }
      return { pairs, each };
    },
    [path, transform, inView, other],
    revision,
  );
  const pairs = found.data?.pairs ?? [];
  const known = useMemo(() => correlation(pairs.map(({ x, y }) => [x, y] as const)), [pairs]);
  const otherName = choice.find(([key]) => key === other)?.[1] ?? other;
  return (
    <div>
      <Fault error={streams.error} retry={streams.reload} />
      <SelectField
        label="Against"
        value={other}
        options={[["", "Choose a stream"], ...choice]}
        onChange={onOther}
      />
      <Fault error={found.error} retry={found.reload} />
      {!other && <Empty><p>Choose another stream to see how the two go together.</p></Empty>}
      {other && found.loading && <Loading what="Reading" />}
      {found.data && !pairs.length && <p class="muted">The two have no numbers at the same time here.</p>}
      {pairs.length > 0 && (
        <figure class="plot">
          <Cloud pairs={pairs} label={`Scatter plot of ${label} and ${otherName}`} xName={label} yName={otherName} saveAs={saveAs} />
          <figcaption class="small">
            <p>
              <strong>{correlationText(known.r)}</strong> r = {Number.isNaN(known.r) ? "–" : known.r.toFixed(3)}, n ={" "}
              {known.n.toLocaleString("en")}, p {Number.isNaN(known.p) ? "–" : known.p < 0.001 ? "< 0.001" : `= ${known.p.toFixed(3)}`}
            </p>
            <p class="muted">
              Coloured by time, from dark to bright. The p value takes all pairs for independent, which values that follow
              each other closely are not.
              {(found.data?.each ?? 1) > 1 && ` One of ${found.data?.each} values is drawn and counted.`}
            </p>
          </figcaption>
        </figure>
      )}
    </div>
  );
}

function correlationText(r: number): string {
  if (Number.isNaN(r)) return "One of the two does not vary.";
  const size = Math.abs(r);
  const strength = size < 0.1 ? "No" : size < 0.3 ? "A weak" : size < 0.6 ? "A moderate" : "A strong";
  return `${strength} ${size < 0.1 ? "" : r > 0 ? "positive " : "negative "}linear relation.`;
}

export function Cloud({
  pairs,
  label,
  xName,
  yName,
  saveAs,
}: {
  pairs: readonly Pair[];
  label: string;
  xName: string;
  yName: string;
  saveAs?: ((save: ((name: string) => void) | null) => void) | undefined;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(frame);
  const colors = usePalette();
  useEffect(() => {
    const target = canvas.current;
    if (!target || !width) return;
    draw(target, pairs, width, xName, yName, colors.ink, colors.line, colors.faint);
    saveAs?.((name) => savePicture(target, name, colors.card));
  }, [pairs, width, colors, xName, yName]);
  useEffect(() => () => saveAs?.(null), []);
  const first = pairs[0];
  const last = pairs.at(-1);
  return (
    <div
      ref={frame}
      role="img"
      aria-label={`${label}: ${pairs.length.toLocaleString("en")} pairs${first && last ? `, from ${timeText(first.t)} to ${timeText(last.t)}` : ""}`}
    >
      <canvas ref={canvas} class="cloud" aria-hidden="true" />
    </div>
  );
}

function draw(
  target: HTMLCanvasElement,
  pairs: readonly Pair[],
  width: number,
  xName: string,
  yName: string,
  ink: string,
  line: string,
  faint: string,
): void {
  const ratio = window.devicePixelRatio || 1;
  target.width = width * ratio;
  target.height = HEIGHT * ratio;
  target.style.width = `${width}px`;
  target.style.height = `${HEIGHT}px`;
  const context = target.getContext("2d");
  if (!context) return;
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, HEIGHT);
  context.font = "13px system-ui, sans-serif";
  let [x1, x2, y1, y2] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of pairs) [x1, x2, y1, y2] = [Math.min(x1, x), Math.max(x2, x), Math.min(y1, y), Math.max(y2, y)];
  const wide = x2 - x1 || 1;
  const high = y2 - y1 || 1;
  const px = (x: number): number => LEFT + 8 + ((x - x1) / wide) * (width - LEFT - 20);
  const py = (y: number): number => HEIGHT - FOOT - 8 - ((y - y1) / high) * (HEIGHT - FOOT - 34);
  context.strokeStyle = line;
  context.fillStyle = faint;
  const stepX = niceWidth(wide, Math.max(2, width / 110));
  context.textAlign = "center";
  for (let x = Math.ceil(x1 / stepX) * stepX; x <= x2 + 1e-9 * wide; x += stepX) {
    context.beginPath();
    context.moveTo(px(x), 20);
    context.lineTo(px(x), HEIGHT - FOOT);
    context.stroke();
    context.fillText(numberText(Number(x.toPrecision(6))), px(x), HEIGHT - FOOT + 16);
  }
  const stepY = niceWidth(high, 6);
  context.textAlign = "right";
  for (let y = Math.ceil(y1 / stepY) * stepY; y <= y2 + 1e-9 * high; y += stepY) {
    context.beginPath();
    context.moveTo(LEFT, py(y));
    context.lineTo(width, py(y));
    context.stroke();
    context.fillText(numberText(Number(y.toPrecision(6))), LEFT - 6, py(y) + 4);
  }
  context.fillStyle = ink;
  context.textAlign = "left";
  context.fillText(yName, 0, 13, width);
  context.textAlign = "right";
  context.fillText(xName, width, HEIGHT - 8, width);
  const size = pairs.length > 5000 ? 2 : pairs.length > 500 ? 3 : 5;
  for (const [i, { x, y }] of pairs.entries()) {
    context.fillStyle = ramp(pairs.length < 2 ? 1 : i / (pairs.length - 1));
    context.fillRect(px(x) - size / 2, py(y) - size / 2, size, size);
  }
}
