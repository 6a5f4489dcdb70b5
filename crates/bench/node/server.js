// Serves worker.js on a free port of loopback, in front of the Space that the first argument names, for callers with
// the key that is the second. Says where once it answers, and ends when it is told to.

import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";

const [space, key] = process.argv.slice(2);
const miniflare = new Miniflare({
  modules: true,
  scriptPath: fileURLToPath(new URL("worker.js", import.meta.url)),
  compatibilityDate: "2026-04-01",
  bindings: { SPACE: space, API_KEY: key },
  host: "127.0.0.1",
  port: 0,
  cf: false,
});
const url = await miniflare.ready;
console.log(`Serving ${url.origin}`);
process.on("SIGTERM", () => miniflare.dispose().then(() => process.exit(0)));
