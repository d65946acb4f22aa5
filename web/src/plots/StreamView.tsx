import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { readPoints, type Point, type Stream, type StreamPath } from "../api";
import { follow } from "../lib/live";
import { lazy } from "../ui/lazy";
import { useLoad } from "../ui/hooks";
import { Fault, Loading } from "../ui/basics";
import { fieldScript, natureOf, viewsOf, type Nature, type View } from "./kinds";
import { held, RANGES, roomy, type Span } from "./range";
import { LineSource } from "./source";

const RECENT = 500;
/** What comes while one looks is shown at once, but not more often than this. */
const REDRAW_MS = 250;
const REREAD_MS = 2000;
/** What has been missed comes in this time after an interruption, while it is read as well. */
const CAREFUL_MS = 5000;

const LinePlot = lazy(() => import("./LinePlot"));
const Timeline = lazy(() => import("./Timeline"));
const Histogram = lazy(async () => ({ default: (await import("./Bars")).Histogram }));
const Bars = lazy(async () => ({ default: (await import("./Bars")).Bars }));
const Calendar = lazy(() => import("./Calendar"));
const MapPlot = lazy(() => import("./MapPlot"));
const Scatter = lazy(() => import("./Scatter"));
const Table = lazy(() => import("./Table"));
const BigNumber = lazy(async () => ({ default: (await import("./Single")).BigNumber }));
const JsonView = lazy(async () => ({ default: (await import("./Single")).JsonView }));

/** How a stream is looked at; all of it stands in the address of its page. */
export interface Look {
  /** `line`, ...; empty: what fits best. */
  readonly view: string;
  /** `1d`, ..., `all`, `auto`; `exact`: `t1` to `t2`. */
  readonly range: string;
  readonly t1: number;
  readonly t2: number;
  /** Of objects: one of their fields. */
  readonly field: string;
  readonly transform: string;
  /** For a scatter plot. */
  readonly other: string;
  readonly gap: string;
}

export function lookOf(query: URLSearchParams): Look {
  const number = (name: string): number => Number(query.get(name) ?? NaN);
  const [t1, t2] = [number("t1"), number("t2")];
  const exact = Number.isFinite(t1) && Number.isFinite(t2) && t2 > t1;
  const span = exact ? held({ t1, t2 }) : { t1: 0, t2: 0 };
  return {
    view: query.get("view") ?? "",
    range: exact ? "exact" : (query.get("range") ?? "auto"),
    ...span,
    field: query.get("field") ?? "",
    transform: query.get("transform") ?? "",
    other: query.get("other") ?? "",
    gap: query.get("gap") ?? "",
  };
}

export function queryOf(look: Look): Record<string, string | null> {
  const exact = look.range === "exact";
  return {
    view: look.view || null,
    range: exact || look.range === "auto" ? null : look.range,
    t1: exact ? String(Math.round(look.t1 * 1000) / 1000) : null,
    t2: exact ? String(Math.round(look.t2 * 1000) / 1000) : null,
    field: look.field || null,
    transform: look.transform || null,
    other: look.other || null,
    gap: look.gap || null,
  };
}

export interface Seen {
  readonly nature: Nature;
  readonly views: readonly View[];
  readonly view: View;
  readonly span: Span;
  readonly script: string;
  readonly newest: Point | undefined;
  readonly empty: boolean;
}

/** Shows a stream as `look` says. Tells with `onSeen` what there is to choose from, and what was chosen. */
export function StreamView({
  path,
  stream,
  look,
  onSpan,
  onSeen,
  onOther,
  onReread,
  correctable = false,
  height,
  saveAs,
  downlink = false,
}: {
  path: StreamPath;
  stream: Stream;
  look: Look;
  onSpan: (span: Span) => void;
  onSeen?: (seen: Seen) => void;
  onOther?: (path: string) => void;
  /** Called after what was written or corrected has been taken in. */
  onReread?: () => void;
  /** Offer to correct the values, where a view can. */
  correctable?: boolean;
  height?: number;
  saveAs?: (save: ((name: string) => void) | null) => void;
  downlink?: boolean;
}) {
  const key = path.join("/");
  const script = [look.field ? fieldScript(look.field) : "", look.transform].filter(Boolean).join(" | ");
  const [fresh, setFresh] = useState<readonly Point[]>([]);
  const came = useRef(fresh);
  came.current = fresh;
  const recent = useLoad(
    async (signal) => {
      const known = new Set(came.current);
      const points = await readPoints(path, { i1: -RECENT }, signal);
      setFresh((was) => was.filter((point) => !known.has(point)));
      return points;
    },
    [key],
  );
  const first = useLoad(async (signal) => (await readPoints(path, { i1: 0, i2: 1 }, signal))[0]?.t, [key]);
  const treated = useLoad(
    async (signal) => (script ? readPoints(path, { i1: -RECENT, transform: script }, signal) : null),
    [key, script],
  );
  const [revision, setRevision] = useState(0);
  const [reread, setReread] = useState(0);
  const gapS = look.gap === "never" ? Infinity : Number(look.gap) > 0 ? Number(look.gap) : null;
  const source = useMemo(() => new LineSource(path, script, downlink, gapS), [key, script, downlink, gapS]);
  const shown = useRef<number | undefined>(undefined);
  const latest = useRef({ source, script, begin: first.data });
  latest.current = { source, script, begin: first.data };
  /** Read anew what has been corrected. */
  const correct = useRef(({ t1, t2 }: Span): void => {
    latest.current.source.forget(t1, t2);
    for (const one of [recent, first, treated]) one.reload();
    setRevision((n) => n + 1);
    setReread((n) => n + 1);
  });

  useEffect(() => {
    let waiting: Point[] = [];
    let redraw: ReturnType<typeof setTimeout> | undefined;
    let rereading: ReturnType<typeof setTimeout> | undefined;
    let careful = 0;
    /** Read anew if something has been written since it was read. */
    const lookAgain = async (known: number | undefined): Promise<void> => {
      if (known === undefined) {
        recent.reload();
        return;
      }
      const last = (await readPoints(path, { i1: -1 }).catch(() => [])).at(-1);
      if (last && last.t > known) correct.current({ t1: known, t2: last.t });
    };
    const end = follow(key, ({ points, corrected, begun }) => {
      if (begun) {
        void lookAgain(shown.current);
        return;
      }
      if (corrected) {
        careful = Number.isFinite(corrected.t2) ? careful : Date.now() + CAREFUL_MS;
        correct.current(corrected);
        return;
      }
      waiting.push(...points);
      redraw ??= setTimeout(() => {
        redraw = undefined;
        const now = waiting;
        waiting = [];
        // A transform may make anything of them.
        if (latest.current.script || Date.now() < careful) for (const { t } of now) latest.current.source.forget(t, t);
        else latest.current.source.add(now);
        const begin = latest.current.begin;
        if (now.some(({ t }) => begin === undefined || t < begin)) first.reload();
        setFresh((was) => [...was, ...now].slice(-RECENT));
        setRevision((n) => n + 1);
      }, REDRAW_MS);
      rereading ??= setTimeout(() => {
        rereading = undefined;
        setReread((n) => n + 1);
      }, REREAD_MS);
    });
    return () => {
      end();
      clearTimeout(redraw);
      clearTimeout(rereading);
    };
  }, [key]);

  useEffect(() => {
    if (reread) onReread?.();
  }, [reread]);

  const known = useMemo(
    () => [...(recent.data ?? []), ...fresh].sort((a, b) => a.t - b.t).slice(-RECENT),
    [recent.data, fresh],
  );
  const newest = known.at(-1);
  shown.current = newest?.t;
  const nature = useMemo(
    () => natureOf(script ? { ...stream, schema: "{}" } : stream, script ? (treated.data ?? []) : known),
    [stream, script, treated.data, recent.data, fresh.length === 0],
  );
  const views = viewsOf(nature);
  const view = views.find((name) => name === look.view) ?? (look.view === "table" || look.view === "json" ? look.view : views[0]) ?? "table";
  const span = useMemo(
    () => spanOf(look, known, first.data),
    [look.range, look.t1, look.t2, newest?.t, first.data, recent.data],
  );
  // What a view has counted or read stays as it is until it is read anew; only a line moves on with each value.
  const still = useMemo(() => span, [look.range, look.t1, look.t2, first.data, recent.data, reread]);
  const inView = look.range === "exact" ? `${look.t1} ${look.t2}` : look.range;
  const empty = recent.data !== undefined && known.length === 0;
  useEffect(() => {
    if (recent.data !== undefined) onSeen?.({ nature, views, view, span, script, newest, empty });
  }, [nature, view, span, script, newest, empty]);

  if (recent.error !== undefined) return <Fault error={recent.error} retry={recent.reload} />;
  if (recent.data === undefined || (script && treated.loading && !treated.data)) return <Loading what="Reading" />;
  if (treated.error !== undefined) return <Fault error={treated.error} retry={treated.reload} />;
  if (empty) return null;
  const label = stream.nickname || path[2];
  const part = { path, transform: script, span: still, inView, label };
  const saving = saveAs ? { saveAs } : {};
  switch (view) {
    case "line":
      return (
        <LinePlot
          source={source}
          span={span}
          inView={look.range === "all" ? `from ${first.data}` : inView}
          onSpan={onSpan}
          revision={revision}
          label={label}
          {...(height ? { height } : {})}
          {...saving}
        />
      );
    case "timeline":
      return <Timeline {...part} span={span} onSpan={onSpan} revision={reread} {...saving} />;
    case "histogram":
      return <Histogram {...part} revision={reread} {...saving} />;
    case "bars":
      return <Bars {...part} revision={reread} {...saving} />;
    case "calendar":
      return <Calendar {...part} numeric={nature.kind === "number"} revision={reread} {...saving} />;
    case "map":
      return <MapPlot {...part} revision={reread} {...saving} />;
    case "scatter":
      return <Scatter {...part} other={look.other} onOther={onOther ?? (() => undefined)} revision={reread} {...saving} />;
    case "number":
      return <BigNumber {...part} revision={reread} newest={newest} />;
    case "json":
      return <JsonView {...part} revision={reread} />;
    case "table":
      return <Table {...part} revision={reread} {...(correctable && !script && !downlink ? { stream, onCorrected: correct.current } : {})} />;
  }
}

/** The times that `look` means. */
function spanOf(look: Look, known: readonly Point[], first: number | undefined): Span {
  if (look.range === "exact") return { t1: look.t1, t2: look.t2 };
  const last = known.at(-1)?.t ?? Date.now() / 1000;
  if (look.range === "all") return roomy({ t1: first ?? last, t2: last });
  const seconds = RANGES.find(([key]) => key === look.range)?.[2];
  if (seconds !== undefined) {
    const end = Math.max(Date.now() / 1000, 0);
    return { t1: end - seconds, t2: end };
  }
  return roomy({ t1: known[0]?.t ?? last - 1, t2: last });
}

