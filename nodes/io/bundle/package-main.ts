/** The entry that a package.json names: `exports` in its simple forms, then `main`. */
import { readFile, stat } from "node:fs/promises";
import { join, normalize } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { shown } from "./bundle.ts";

const CONDITIONS = ["node", "import", "require", "default"] as const;
const TAILS = ["", ".ts", ".mts", ".js", ".mjs", ".cjs", "/index.ts", "/index.js", "/index.mjs", "/index.cjs"] as const;
const MOST_BYTES = 1024 * 1024;

/**
 * The file, relative to root; undefined when there is no package.json, it names nothing, or names what does not exist
 * (a build that was not run: then the usual names are looked for). `exists` says whether a file lies inside root.
 * Throws Fault BadRequest for a package.json that is not JSON or that names a file outside.
 */
export async function packageMain(root: string, exists: (file: string) => Promise<boolean>): Promise<string | undefined> {
  const text = await readPackage(join(root, "package.json"));
  if (text === undefined) return undefined;
  let described: unknown;
  try {
    described = JSON.parse(text);
  } catch (thrown) {
    throw new Fault("BadRequest", `package.json is not JSON: ${shown(thrown instanceof Error ? thrown.message : "")}`, undefined, thrown);
  }
  if (typeof described !== "object" || described === null) return undefined;
  const { exports: exported, main } = described as { exports?: unknown; main?: unknown };
  for (const named of [rootExport(exported, 0), typeof main === "string" && main !== "" ? main : undefined]) {
    if (named === undefined) continue;
    const file = normalize(named);
    if (file.startsWith("..") || file.startsWith("/") || file.includes("\0")) {
      throw new Fault("BadRequest", `package.json names ${shown(named)} as its entry, which is outside of the directory.`);
    }
    for (const tail of TAILS) if (await exists(file + tail)) return normalize(file + tail);
  }
  return undefined;
}

async function readPackage(file: string): Promise<string | undefined> {
  try {
    const info = await stat(file);
    if (!info.isFile()) return undefined;
    if (info.size > MOST_BYTES) throw new Fault("BadRequest", "package.json is larger than a package.json can be.");
    return await readFile(file, "utf8");
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    return undefined;
  }
}

function rootExport(value: unknown, depth: number): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null || depth > 4) return undefined;
  const table = value as Record<string, unknown>;
  if (depth === 0 && Object.hasOwn(table, ".")) return rootExport(table["."], 1);
  for (const condition of CONDITIONS) {
    const found = Object.hasOwn(table, condition) ? rootExport(table[condition], depth + 1) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}
