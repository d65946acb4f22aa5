/** Has the browser keep the app, so that it opens without a server. */

interface Policies {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): {
    createScriptURL: (url: string) => string;
  };
}

const WORKER = "/sw.js";

export function keepApp(): void {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  // The one script that the page may name by its address.
  const policies = (window as unknown as { trustedTypes?: Policies }).trustedTypes;
  const policy = policies?.createPolicy("connectordb", {
    createScriptURL: (url) => {
      if (url !== WORKER) throw new TypeError("no other script");
      return url;
    },
  });
  const address = policy ? policy.createScriptURL(WORKER) : WORKER;
  // Not over plain HTTP from another machine: there it works as long as there is a server.
  navigator.serviceWorker.register(address).catch(() => undefined);
}
