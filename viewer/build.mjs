// Builds the pages that the Python package holds: each one file, with a hash of the sources it was built from.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, gunzipSync } from "node:zlib";
import { build } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

const here = new URL(".", import.meta.url).pathname;
const out = join(here, "../src/safepursuit/viewer/pages");

/** SHA-256 of all sources, in the order of their names; tests/test_viewer_pages.py computes the same. */
function fingerprint() {
  const names = ["build.mjs", "package-lock.json", "package.json"];
  for (const folder of ["pages", "src"]) names.push(...readdirSync(join(here, folder)).map((name) => `${folder}/${name}`));
  const hash = createHash("sha256");
  for (const name of names.sort()) hash.update(`${name}\0`).update(readFileSync(join(here, name)));
  return hash.digest("hex");
}

/** The runtime's WebAssembly is handed to it in the page's data: Vite must not take it for a file of the page. */
const apart = {
  name: "runtime-apart",
  enforce: "pre",
  transform: (code, id) => (id.includes("onnxruntime-web") ? code.replaceAll("import.meta.url", "self.location.href") : null),
};

const sources = fingerprint();
for (const file of readdirSync(join(here, "pages"))) {
  const result = await build({
    root: join(here, "pages"),
    configFile: false,
    logLevel: "warn",
    plugins: [apart, viteSingleFile()],
    build: { write: false, target: "es2022", rollupOptions: { input: join(here, "pages", file) } },
  });
  const page = result.output.find((one) => one.fileName === file);
  const html = page.source.replace("<head>", `<head>\n<meta name="sources" content="${sources}">`);
  if (!html.includes('<script id="data" type="text/plain"></script>')) throw new Error(`${file} has no place for data`);
  writeFileSync(join(out, file), html);
  console.log(file, Math.round(html.length / 1024), "KiB");
}

// The runtime of ONNX files is kept apart, so that a change of a page is a small one.
const runtime = readFileSync(join(here, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
const kept = join(out, "onnxruntime.wasm.gz");
if (!existsSync(kept) || !gunzipSync(readFileSync(kept)).equals(runtime)) writeFileSync(kept, gzipSync(runtime, { level: 9 }));
