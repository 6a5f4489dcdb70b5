// @ts-check
/**
 * The studio without a network. While the server answers, everything comes from there, so that no version outlives a
 * deployment; each file is kept as it came, and serves when the server can't be reached. Of the API nothing is kept,
 * nor of any request with a key: those don't come through here.
 */
{
  const NAME = "studio";
  const worker = /** @type {any} */ (globalThis);
  /** Paths of the studio's own files. */
  const OWN = /^\/(?:|index\.html|boot\.js|studio\.css|favicon\.svg|js\/[\w.-]+\.js)$/;

  const isOwn = (request) =>
    request.method === "GET" &&
    !request.headers.has("authorization") &&
    new URL(request.url).origin === location.origin &&
    OWN.test(new URL(request.url).pathname);

  /** Keeps the page and the files that it names. */
  async function install() {
    const cache = await caches.open(NAME);
    const page = await fetch("/", { cache: "no-cache" });
    if (!page.ok) throw new Error(`HTTP ${page.status}`);
    const names = [...(await page.clone().text()).matchAll(/(?:href|src)="((?:js\/)?[\w.-]+\.(?:js|css|svg))"/g)];
    await cache.put("/", page);
    await cache.addAll(names.map(([, name]) => new Request(`/${name}`, { cache: "no-cache" })));
    await worker.skipWaiting();
  }

  async function answer(event) {
    const { pathname } = new URL(event.request.url);
    const cache = await caches.open(NAME);
    try {
      const response = await fetch(event.request);
      if (response.ok) event.waitUntil(cache.put(pathname, response.clone()));
      return response;
    } catch (error) {
      const kept = await cache.match(pathname, { ignoreVary: true });
      if (!kept) throw error;
      return kept;
    }
  }

  worker.addEventListener("install", (event) => {
    // The browser needn't wake the worker for calls of the API.
    event.addRoutes?.({ condition: { urlPattern: new URLPattern({ pathname: "/v1/*" }) }, source: "network" });
    event.waitUntil(install());
  });
  worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
  worker.addEventListener("fetch", (event) => {
    if (isOwn(event.request)) event.respondWith(answer(event));
  });
}
