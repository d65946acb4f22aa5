// After the build: tells the service worker which files there are, and puts a compressed copy beside each file, for the
// server to send.
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const OUT = new URL("../../src/connectordb/server/webapp/", import.meta.url).pathname;

const files = (await readdir(OUT, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .sort();

const assets = files.map((file) => relative(OUT, file).replaceAll("\\", "/")).filter((path) => path.startsWith("assets/"));
const index = await readFile(join(OUT, "index.html"));
const version = createHash("sha256").update(index).update(assets.join()).digest("hex").slice(0, 12);
const worker = join(OUT, "sw.js");
const list = JSON.stringify(["/", "/favicon.svg", "/manifest.webmanifest", ...assets.map((path) => `/${path}`)]);
await writeFile(worker, (await readFile(worker, "utf8")).replace("__FILES__", list).replace("__VERSION__", version));

for (const path of files) {
  if (!/\.(js|css|html|svg|webmanifest)$/.test(path)) continue;
  const content = await readFile(path);
  if (content.length < 1024) continue;
  await writeFile(`${path}.gz`, gzipSync(content, { level: 9 }));
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  await writeFile(`${path}.br`, brotliCompressSync(content, { params }));
}
