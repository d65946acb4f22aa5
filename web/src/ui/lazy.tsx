import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

import { Fault, Loading } from "./basics";

/** A part that is fetched when it is first shown. */
export function lazy<P extends object = object>(load: () => Promise<{ default: ComponentType<P> }>): ComponentType<P> {
  let found: ComponentType<P> | null = null;
  return function Lazy(props: P) {
    const [, setReady] = useState(found !== null);
    const [error, setError] = useState<unknown>(undefined);
    useEffect(() => {
      if (found !== null) return;
      load().then(
        (module) => {
          found = module.default;
          setReady(true);
        },
        () => setError(new Error("This part could not be loaded: either there is no connection to the server, or it has a newer app, which comes when this page is loaded again.")),
      );
    }, []);
    if (error !== undefined) return <Fault error={error} retry={() => window.location.reload()} />;
    const Found = found;
    return Found === null ? <Loading /> : <Found {...props} />;
  };
}
