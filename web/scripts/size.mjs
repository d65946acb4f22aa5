// Fails if the first page is larger than it may be, as it goes over the wire: gzip, with all that it loads at once.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const BUDGET = 300_000;
const OUT = new URL("../../src/connectordb/server/webapp/", import.meta.url);
const manifest = JSON.parse(await readFile(new URL(".vite/manifest.json", OUT), "utf8"));
const FIRST = ["index.html", "src/pages/SignIn.tsx", "src/pages/Home.tsx"];

const size = async (file) => gzipSync(await readFile(new URL(file, OUT)), { level: 9 }).length;

/** All files that the chunks in `keys` load at once. */
function closure(keys) {
  const files = new Set();
  const seen = new Set();
  const visit = (key) => {
    if (seen.has(key) || !manifest[key]) return;
    seen.add(key);
    files.add(manifest[key].file);
    for (const css of manifest[key].css ?? []) files.add(css);
    for (const next of manifest[key].imports ?? []) visit(next);
  };
  keys.forEach(visit);
  return files;
}

async function total(files) {
  let sum = await size("index.html");
  for (const file of files) sum += await size(file);
  return sum;
}

const first = await total(closure(FIRST));
const all = await total(closure(Object.keys(manifest)));
console.log(`first page ${(first / 1000).toFixed(1)} kB of ${BUDGET / 1000} kB; all of the app ${(all / 1000).toFixed(1)} kB (gzip)`);
if (first > BUDGET) process.exit(1);
