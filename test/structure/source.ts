/** What one source file imports and which impure globals it uses. */
import { transform } from "esbuild";
import { IMPURE, LAYERS, type Layer, WORLD } from "./rules.ts";

export interface Import {
  /** As written: `../kit/bus.ts`, `nats`, `node:fs`. */
  readonly from: string;
  /** True when nothing of it is left after compiling. */
  readonly typeOnly: boolean;
}

const STATEMENT = /^(?:import|export)\s+(type\s+)?(?:[^"'`;]*?\sfrom\s+)?["']([^"'\n]+)["']/gm;
const EXPRESSION = /\b(?:import|require)\s*\(\s*["'`]([^"'`\n]+)["'`]/g;

/** Every import, re-export, dynamic import and require of a formatted file. What stands in a comment does not count. */
export function importsOf(source: string): readonly Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  return [
    ...Array.from(code.matchAll(STATEMENT), ([whole, type, from]) => ({
      from: from ?? "",
      typeOnly: type !== undefined || onlyTypes(whole),
    })),
    ...Array.from(code.matchAll(EXPRESSION), ([, from]) => ({ from: from ?? "", typeOnly: false })),
  ];
}

/** `import { type A, type B } from …` */
function onlyTypes(statement: string): boolean {
  const names = /^(?:import|export)\s*\{([^}]*)\}/.exec(statement)?.[1];
  return names?.split(",").every((name) => name.trim() === "" || /^type\s/.test(name.trim())) ?? false;
}

const MARK = "__impure_";
const define = Object.fromEntries(Object.keys(IMPURE).map((name) => [name, MARK + name.replace(".", "_")]));

/** The names of IMPURE that a file uses as globals; a parameter or variable of that name is no use of it. */
export async function impureGlobalsOf(source: string): Promise<readonly string[]> {
  // The compiler knows scopes, comments and strings; what it replaces is exactly the global.
  const { code } = await transform(source, { loader: "ts", format: "esm", define });
  return Object.keys(IMPURE).filter((name) => code.includes(MARK + name.replace(".", "_")));
}

/** Sentences about what the file at `path` (relative to the project root) does against the layer rule. */
export async function faultsOf(path: string, source: string): Promise<readonly string[]> {
  const layer = layerOf(path);
  if (layer === undefined) return [];
  const faults = importsOf(source).flatMap((one) => importFault(layer, path, one));
  const impure = layer.pure ? await impureGlobalsOf(source) : [];
  return [...faults, ...impure.map((name) => `${path} uses ${name}: ${IMPURE[name]}`)];
}

/** The layer of a file; undefined for what no rule binds (tests, scripts, benchmarks). */
function layerOf(path: string): Layer | undefined {
  return LAYERS.filter(({ folder }) => path.startsWith(`${folder}/`)).sort((a, b) => b.folder.length - a.folder.length)[0];
}

function importFault(layer: Layer, path: string, { from, typeOnly }: Import): readonly string[] {
  const verb = typeOnly ? "imports types of" : "imports";
  const wrong = `${path} ${verb} ${from}, which ${layer.folder}/ may not`;
  if (!from.startsWith(".")) {
    const covers = (names: readonly string[]): boolean =>
      names.some((name) => name === "*" || from === name || from.startsWith(`${name}/`));
    if (layer.folder !== "nodes/io" && covers(WORLD)) return [wrong];
    return covers(layer.packages) || (typeOnly && covers(layer.packageTypes ?? [])) ? [] : [wrong];
  }
  const target = new URL(from, `file:///${path}`).pathname.slice(1);
  const inside = (folders: readonly string[]): boolean => folders.some((folder) => target.startsWith(`${folder}/`));
  return inside(layer.ours) || (typeOnly && inside(layer.types ?? [])) ? [] : [wrong];
}
