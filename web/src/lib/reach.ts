/** Whether the server can be reached. */

/** So often it is asked whether it is there again. */
const ASK_MS = 5000;

/** Call `then`, once, when the server, which could not be reached, answers again. Returns a function that ends it. */
export function whenBack(then: () => void): () => void {
  const ended = new AbortController();
  const end = (): void => {
    clearInterval(timer);
    ended.abort();
  };
  const ask = async (): Promise<void> => {
    if (document.visibilityState === "hidden") return;
    const { ok } = await fetch("/healthz", { cache: "no-store", signal: ended.signal });
    if (!ok || ended.signal.aborted) return;
    end();
    then();
  };
  const timer = setInterval(() => void ask().catch(() => undefined), ASK_MS);
  return end;
}
