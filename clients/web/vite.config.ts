import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = "http://127.0.0.1:7860";
const unusedParts = fileURLToPath(new URL("src/forms/unusedParts.ts", import.meta.url));
const noMarkdown = fileURLToPath(new URL("src/forms/noMarkdown.tsx", import.meta.url));

export default defineConfig({
  base: "./",
  plugins: [react()],
  resolve: {
    alias: {
      "markdown-to-jsx/react": noMarkdown,
      "fast-uri": unusedParts,
      "@x0k/json-schema-merge/lib/array": unusedParts,
      "@x0k/json-schema-merge": unusedParts,
    },
  },
  build: { outDir: "../../src/stable_core_server/web", emptyOutDir: true, chunkSizeWarningLimit: 800 },
  server: { proxy: { "/v1": server, "/healthz": server, "/openapi.json": server } },
});
