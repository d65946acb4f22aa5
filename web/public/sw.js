// Keeps the app itself in the browser, so that it opens without a server. Data are never kept by this.
// The build puts the list of files, and a version that changes with them, in here.
const FILES = __FILES__;
const CACHE = "connectordb-__VERSION__";
const PATIENCE_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FILES))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (url.pathname.startsWith("/assets/")) event.respondWith(kept(request));
  else if (request.mode === "navigate" && !url.pathname.startsWith("/api/")) event.respondWith(page(request));
});

/** A file with a hash in its name never changes. */
async function kept(request) {
  return (await caches.match(request)) ?? fetch(request);
}

/** The page as the server has it; if it does not answer, the one that is kept. */
async function page(request) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE_MS);
  try {
    const found = await fetch(request, { signal: controller.signal });
    if (found.status < 500) return found;
  } catch {
    // As if it were away.
  } finally {
    clearTimeout(timer);
  }
  return (await caches.match("/")) ?? Response.error();
}
