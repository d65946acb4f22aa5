import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { queried, readPoints, type Point, type StreamPath } from "../api";
import { timeText } from "../lib/time";
import { Fault, Loading } from "../ui/basics";
import { useLoad } from "../ui/hooks";
import { Icon } from "../ui/Icon";
import { numberText, placeOf } from "./kinds";
import { saveSvg, usePalette, useWidth } from "./looks";
import type { Span } from "./range";

const POINTS = 3000;
const RADIUS_M = 6_371_008.8;
const SHORTEST_M = 20;

interface Place {
  readonly t: number;
  readonly lat: number;
  readonly lon: number;
}

/** Where it was, on a grid of latitude and longitude: no map of somebody else's server is asked for. */
export default function MapPlot({
  path,
  transform,
  span,
  inView,
  revision,
  label,
  saveAs,
}: {
  path: StreamPath;
  transform: string;
  span: Span;
  inView: string;
  revision: number;
  label: string;
  saveAs?: (save: ((name: string) => void) | null) => void;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(frame);
  const colors = usePalette();
  const [zoom, setZoom] = useState(1);
  const [middle, setMiddle] = useState<readonly [number, number] | null>(null);
  const script = transform ? { transform } : {};
  const found = useLoad(
    (signal) =>
      readPoints(path, { ...queried(span), points: POINTS, ...script }, signal),
    [path, transform, inView],
    revision,
  );
  useEffect(() => {
    saveAs?.((name) => {
      if (svg.current) void saveSvg(svg.current, name, colors.card);
    });
    return () => saveAs?.(null);
  }, [colors]);
  const places = useMemo(() => placesIn(found.data ?? []), [found.data]);
  const height = Math.max(260, Math.min(560, Math.round(width * 0.62)));
  const whole = useMemo(() => fit(places, width, height), [places, width, height]);
  const [cx, cy] = middle ?? whole.centre;
  const scale = whole.scale * zoom;
  const x = (place: { lon: number }): number => width / 2 + (mercator(0, place.lon)[0] - cx) * scale;
  const y = (place: { lat: number }): number => height / 2 - (mercator(place.lat, 0)[1] - cy) * scale;
  const latitude = unmercator(cy);
  const metres = niceLength((width / 4 / scale) * RADIUS_M * Math.cos((latitude * Math.PI) / 180));
  const bar = (metres / (RADIUS_M * Math.cos((latitude * Math.PI) / 180))) * scale;
  const drag = useRef<readonly [number, number, number, number] | null>(null);
  const first = places[0];
  const last = places.at(-1);
  const move = (dx: number, dy: number): void => setMiddle([cx - dx / scale, cy + dy / scale]);
  return (
    <figure class="plot">
      <Fault error={found.error} retry={found.reload} />
      {found.loading && !found.data && <Loading what="Reading" />}
      {found.data && !places.length && <p class="muted">There is no place from this time.</p>}
      <div ref={frame} class="map-frame">
        {places.length > 0 && width > 0 && (
          <>
            <svg
              ref={svg}
              width={width}
              height={height}
              role="img"
              aria-label={`Map of ${label}: ${places.length} places${first && last ? `, from ${timeText(first.t)} to ${timeText(last.t)}` : ""}`}
              font-family="system-ui, sans-serif"
              font-size={12}
              onPointerDown={(event) => {
                event.currentTarget.setPointerCapture(event.pointerId);
                drag.current = [event.clientX, event.clientY, cx, cy];
              }}
              onPointerMove={(event) => {
                if (!drag.current) return;
                const [x0, y0, fromX, fromY] = drag.current;
                setMiddle([fromX - (event.clientX - x0) / scale, fromY + (event.clientY - y0) / scale]);
              }}
              onPointerUp={() => (drag.current = null)}
              onPointerCancel={() => (drag.current = null)}
            >
              <Grid {...{ cx, cy, scale, width, height }} line={colors.line} ink={colors.faint} />
              <polyline
                points={places.map((place) => `${x(place).toFixed(1)},${y(place).toFixed(1)}`).join(" ")}
                fill="none"
                stroke={colors.series[0]}
                stroke-width={2}
                stroke-opacity={0.5}
                stroke-linejoin="round"
              />
              {places.map((place, i) => (
                <circle
                  key={place.t}
                  cx={x(place)}
                  cy={y(place)}
                  r={3.5}
                  fill={ramp(places.length < 2 ? 1 : i / (places.length - 1))}
                >
                  <title>{`${timeText(place.t)}: ${place.lat.toFixed(5)}, ${place.lon.toFixed(5)}`}</title>
                </circle>
              ))}
              {last && <circle cx={x(last)} cy={y(last)} r={8} fill="none" stroke={colors.ink} stroke-width={2.5} />}
              <g transform={`translate(12 ${height - 16})`}>
                <path d={`M0 -6V0H${bar}V-6`} fill="none" stroke={colors.ink} stroke-width={2} />
                <text x={0} y={-11} fill={colors.ink}>
                  {metres >= 1000 ? `${numberText(metres / 1000)} km` : `${numberText(metres)} m`}
                </text>
              </g>
            </svg>
            <div class="map-keys" role="group" aria-label="Map">
              <MapKey name="zoomIn" label="Closer on the map" onClick={() => setZoom(zoom * 1.6)} />
              <MapKey name="zoomOut" label="Further away on the map" onClick={() => setZoom(zoom / 1.6)} />
              <button type="button" class="small" onClick={() => { setZoom(1); setMiddle(null); }}>
                All
              </button>
              <span class="sr">
                <button type="button" onClick={() => move(80, 0)}>West</button>
                <button type="button" onClick={() => move(-80, 0)}>East</button>
                <button type="button" onClick={() => move(0, 80)}>North</button>
                <button type="button" onClick={() => move(0, -80)}>South</button>
              </span>
            </div>
          </>
        )}
      </div>
      {first && last && (
        <figcaption class="small muted">
          Coloured by time, from dark ({timeText(first.t, { seconds: false })}) to bright; the ring is the last place:{" "}
          {last.lat.toFixed(5)}, {last.lon.toFixed(5)} at {timeText(last.t, { seconds: false })}.
        </figcaption>
      )}
    </figure>
  );
}

function MapKey({ name, label, onClick }: { name: "zoomIn" | "zoomOut"; label: string; onClick: () => void }) {
  return (
    <button type="button" aria-label={label} title={label} onClick={onClick}>
      <Icon name={name} />
    </button>
  );
}

function placesIn(points: readonly Point[]): Place[] {
  const out: Place[] = [];
  for (const { t, d } of points) {
    const place = placeOf(d);
    if (place) out.push({ t, ...place });
  }
  return out;
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;
const mercator = (lat: number, lon: number): readonly [number, number] => [
  radians(lon),
  Math.log(Math.tan(Math.PI / 4 + radians(Math.max(-85, Math.min(85, lat))) / 2)),
];
const unmercator = (y: number): number => ((2 * Math.atan(Math.exp(y)) - Math.PI / 2) * 180) / Math.PI;

function fit(places: readonly Place[], width: number, height: number) {
  let [x1, x2, y1, y2] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { lat, lon } of places) {
    const [x, y] = mercator(lat, lon);
    [x1, x2, y1, y2] = [Math.min(x1, x), Math.max(x2, x), Math.min(y1, y), Math.max(y2, y)];
  }
  const least = SHORTEST_M / RADIUS_M;
  const scale = Math.min((width * 0.88) / Math.max(least, x2 - x1), (height * 0.8) / Math.max(least, y2 - y1));
  return { centre: places.length ? ([(x1 + x2) / 2, (y1 + y2) / 2] as const) : ([0, 0] as const), scale };
}

function niceLength(metres: number): number {
  const unit = 10 ** Math.floor(Math.log10(metres));
  return ([5, 2, 1].find((factor) => factor * unit <= metres) ?? 1) * unit;
}

/** From dark blue over violet and orange to yellow; each step is lighter, so that it can be told without colours. */
export function ramp(part: number): string {
  const stops = [[45, 30, 110], [140, 40, 130], [225, 85, 70], [250, 200, 60]] as const;
  const at = Math.max(0, Math.min(0.999, part)) * (stops.length - 1);
  const i = Math.floor(at);
  const [a, b] = [stops[i] ?? stops[0], stops[i + 1] ?? stops[3]];
  const mix = (k: 0 | 1 | 2): number => Math.round(a[k] + (b[k] - a[k]) * (at - i));
  return `rgb(${mix(0)}, ${mix(1)}, ${mix(2)})`;
}

function Grid(props: { cx: number; cy: number; scale: number; width: number; height: number; line: string; ink: string }) {
  const { cx, cy, scale, width, height } = props;
  const degrees = (width / scale / Math.PI) * 180;
  const step = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005].find((s) => degrees / s >= 3) ?? 0.0002;
  const lines: { key: string; d: string; x: number; y: number; text: string }[] = [];
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const [left, right] = [cx - width / 2 / scale, cx + width / 2 / scale].map((v) => (v * 180) / Math.PI) as [number, number];
  for (let lon = Math.ceil(left / step) * step; lon <= right; lon += step) {
    const x = width / 2 + (radians(lon) - cx) * scale;
    lines.push({ key: `x${lon}`, d: `M${x} 0V${height}`, x: x + 3, y: 12, text: `${lon.toFixed(digits)}°` });
  }
  const [low, high] = [unmercator(cy - height / 2 / scale), unmercator(cy + height / 2 / scale)];
  for (let lat = Math.ceil(low / step) * step; lat <= high; lat += step) {
    const y = height / 2 - (mercator(lat, 0)[1] - cy) * scale;
    lines.push({ key: `y${lat}`, d: `M0 ${y}H${width}`, x: 3, y: y - 4, text: `${lat.toFixed(digits)}°` });
  }
  return (
    <>
      {lines.map(({ key, d, x, y, text }) => (
        <g key={key}>
          <path d={d} stroke={props.line} fill="none" />
          <text x={x} y={y} fill={props.ink}>
            {text}
          </text>
        </g>
      ))}
    </>
  );
}
