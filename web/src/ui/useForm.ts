import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { guardLeaving } from "../lib/router";

/** Who leaves with something unsaved is asked first, and `lose` called if so. Returns what tells that it has been saved. */
export function useUnsaved(isUnsaved: boolean, lose?: () => void): () => void {
  const { current: me } = useRef({});
  // At once: who types and leaves at once is asked, too.
  useLayoutEffect(() => {
    guardLeaving(me, isUnsaved, lose);
    return () => guardLeaving(me, false);
  }, [isUnsaved]);
  return () => guardLeaving(me, false);
}

/** The fields of a form, and which of them differ from what they were. Who leaves with changes is asked first. */
export function useFields<T extends object>(initial: T) {
  const [first, setFirst] = useState(initial);
  const [values, setValues] = useState(initial);
  const changes: Partial<T> = {};
  for (const key of Object.keys(values) as (keyof T)[]) {
    if (values[key] !== first[key]) changes[key] = values[key];
  }
  const dirty = Object.keys(changes).length > 0;
  const saved = useUnsaved(dirty);
  return {
    values,
    changes,
    dirty,
    set: <K extends keyof T>(key: K, value: T[K]) => setValues((was) => ({ ...was, [key]: value })),
    patch: (some: Partial<T>) => setValues((was) => ({ ...was, ...some })),
    /** What is there now has been saved. */
    saved: () => {
      saved();
      setFirst(values);
    },
  };
}
