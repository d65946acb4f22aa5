import { defineConfig } from "vitest/config";

/** The server to develop against, started with `make serve`. */
const SERVER = "http://localhost:3124";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/connectordb/server/webapp",
    emptyOutDir: true,
    target: "es2022",
    manifest: true,
    // The server's policy allows neither inline scripts nor inline styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": { target: SERVER, ws: true, changeOrigin: false } },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
