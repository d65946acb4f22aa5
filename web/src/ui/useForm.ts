import { useEffect, useState } from "preact/hooks";

import { guardLeaving } from "../lib/router";

/** The fields of a form, and which of them differ from what they were. Who leaves with changes is asked first. */
export function useFields<T extends object>(initial: T) {
  const [first, setFirst] = useState(initial);
  const [values, setValues] = useState(initial);
  const changes: Partial<T> = {};
  for (const key of Object.keys(values) as (keyof T)[]) {
    if (values[key] !== first[key]) changes[key] = values[key];
  }
  const dirty = Object.keys(changes).length > 0;
  useEffect(() => {
    if (!dirty) return undefined;
    guardLeaving(() => window.confirm("Leave without saving what you have changed?"));
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => {
      guardLeaving(null);
      window.removeEventListener("beforeunload", ask);
    };
  }, [dirty]);
  return {
    values,
    changes,
    dirty,
    set: <K extends keyof T>(key: K, value: T[K]) => setValues((was) => ({ ...was, [key]: value })),
    patch: (some: Partial<T>) => setValues((was) => ({ ...was, ...some })),
    /** What is there now has been saved. */
    saved: () => {
      guardLeaving(null);
      setFirst(values);
    },
  };
}
