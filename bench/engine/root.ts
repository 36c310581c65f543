/** Where the sources are: benchmarks run from a build, wherever that lies. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** `PILOT_ROOT`, or the first directory upwards with our package.json. */
export function projectRoot(): string {
  const given = process.env["PILOT_ROOT"];
  if (given !== undefined) return given;
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const manifest = join(directory, "package.json");
    if (existsSync(manifest) && /"name":\s*"pilotlight"/.test(readFileSync(manifest, "utf8"))) return directory;
    if (directory === dirname(directory)) throw new Error("no package.json of pilotlight above this file");
  }
}
