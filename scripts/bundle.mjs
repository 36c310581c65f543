/**
 * Joins what the command `pilot` loads, packages included, into few files in dist/pilot: some hundred files that are opened
 * one by one cost a command four times what it does itself. Run by prepare.mjs after each build.
 */
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT = join(ROOT, "dist", "pilot");

rmSync(OUT, { recursive: true, force: true });
await build({
  entryPoints: [join(ROOT, "dist", "cli", "main.js")],
  outdir: OUT,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  // What brings programs of its own stays where it is; and what few commands load, and cannot be joined.
  external: ["esbuild", "typescript", "fastify"],
  // Packages in the older module format ask for Node's modules by require.
  banner: { js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);' },
  keepNames: true,
  logLevel: "warning",
});
