/**
 * Python: a zip with sources, data files, vendored packages at its root, compiled code beside each source
 * (`pkg/mod.pyc` beside `pkg/mod.py`, unchecked-hash form) and `pilot.json` = {"main": module}.
 *
 * Z1  Same files and same interpreter, same bytes: sorted names, fixed times, fixed hash seed.
 * Z2  Compiled code is an extra: whoever loads the zip compares the magic number and falls back to the source.
 */
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { zipSync } from "fflate";
import { Fault } from "../../../protocol/errors.ts";
import { type Packed, shown } from "./bundle.ts";
import { compilePython, type Source } from "./compile-python.ts";
import { complain } from "./complaint.ts";
import type { Entry } from "./entry.ts";
import { readTree, type TreeFile } from "./tree.ts";

/** Fixed, and in local time because that is what a zip holds. */
const MTIME = new Date(1980, 0, 1);
const SKIPPED = new Set(["__pycache__", "tests", "test", "node_modules"]);
const VENDORED = /^(vendor\/site-packages|site-packages|vendor)\//;

/** Packs a file, or a directory with all that is in it. Throws Fault BadCode, BadRequest, BundleTooLarge. */
export async function packPython(entry: Entry): Promise<Packed> {
  const warnings: string[] = [];
  const files = entry.whole ? await directoryFiles(entry, warnings) : await loneFile(entry, warnings);
  const vendored = vendoredNames(files);
  const main = entry.whole ? entry.file : moduleName(entry.file);
  return pack(files, main, entry.handler, vendored, warnings);
}

/** Packs a text as the module `function`. Throws Fault BadCode. */
export async function packPythonSource(source: string, { handler }: Pick<Entry, "handler">): Promise<Packed> {
  return pack([{ name: "function.py", bytes: Buffer.from(source) }], "function.py", handler, new Set(), []);
}

async function pack(
  files: readonly TreeFile[],
  main: string,
  handler: string,
  vendored: ReadonlySet<string>,
  warnings: string[],
): Promise<Packed> {
  const sources: Source[] = files.filter((file) => file.name.endsWith(".py")).map(({ name, bytes }) => ({ name, bytes }));
  const compiled = await compilePython(sources, main, handler);
  if (compiled.missing !== undefined)
    warnings.push(`${compiled.missing}; the code was not compiled, so mistakes show at the first call, which is also slower.`);
  const own = compiled.complaints.filter(({ file }) => !isVendored(file ?? "", vendored));
  if (own.length > 0) throw new Fault("BadCode", complain(own));
  if (compiled.complaints.length > 0)
    warnings.push(
      `${compiled.complaints.length} files of vendored packages do not compile with this Python, the first is ${shown(compiled.complaints[0]?.file ?? "")}.`,
    );
  if (compiled.handlerMissing)
    throw new Fault("BadCode", `${shown(main)} does not define "${handler}". Define it, or name the handler with --handler.`);

  const entries = new Map<string, Uint8Array>(files.map(({ name, bytes }) => [name, bytes]));
  for (const { name, bytes } of compiled.code) entries.set(`${name}c`, bytes);
  const module = main.replace(/\.py$/, "").replaceAll("/", ".");
  entries.set("pilot.json", Buffer.from(JSON.stringify({ main: module })));
  return { handler, code: zip(entries), files: files.length, warnings };
}

async function directoryFiles(entry: Entry, warnings: string[]): Promise<TreeFile[]> {
  const left: string[] = [];
  const tree = await readTree(entry.root, (name, directory) => {
    const own = basename(name);
    if (own.startsWith(".") || own.endsWith(".pyc") || name === "pilot.json") return true;
    if (!directory || !SKIPPED.has(own)) return false;
    if (name === own && own !== "__pycache__") left.push(`${own}/`);
    return true;
  });
  warnings.push(...tree.warnings);
  if (left.length > 0) warnings.push(`Left out, as it is not needed at run time: ${left.join(", ")}.`);
  const kept = withoutEnvironments(tree.files, warnings);
  const native = kept.find(({ name }) => /\.(so|pyd|dylib)$/.test(name));
  if (native !== undefined)
    warnings.push(
      `${shown(native.name)} is native code: it must be built for the hosts' platform and Python version, and each container unpacks the bundle first, which is slower.`,
    );
  return hoist(kept, warnings);
}

/** A virtual environment belongs to its machine; its marker file tells where one is. */
function withoutEnvironments(files: readonly TreeFile[], warnings: string[]): TreeFile[] {
  const roots = files
    .filter(({ name }) => basename(name) === "pyvenv.cfg" && name.includes("/"))
    .map(({ name }) => name.slice(0, -"pyvenv.cfg".length));
  for (const root of roots)
    warnings.push(`${shown(root)} was left out: it is a virtual environment. Vendor packages with: pip install --target vendor PACKAGE`);
  return files.filter(({ name }) => !roots.some((root) => name.startsWith(root)));
}

/** Puts what lies in vendor/ or site-packages/ at the root, unless the directory is a package itself. Own files win. */
function hoist(files: readonly TreeFile[], warnings: string[]): TreeFile[] {
  const packages = new Set(
    files.filter(({ name }) => name.endsWith("/__init__.py")).map(({ name }) => name.slice(0, -"__init__.py".length)),
  );
  const placed = new Map<string, TreeFile>();
  const vendored: TreeFile[] = [];
  for (const file of files) {
    const prefix = VENDORED.exec(file.name)?.[0];
    if (prefix === undefined || packages.has(prefix)) placed.set(file.name, file);
    else vendored.push({ name: file.name.slice(prefix.length), bytes: file.bytes });
  }
  let hidden = 0;
  for (const file of vendored) {
    if (placed.has(file.name)) hidden += 1;
    else placed.set(file.name, file);
  }
  if (hidden > 0) warnings.push(`${hidden} vendored files were left out because the function has files of the same name.`);
  return [...placed.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function loneFile(entry: Entry, warnings: string[]): Promise<TreeFile[]> {
  const bytes = await readFile(join(entry.root, entry.file));
  const imported = new Set(
    [...bytes.toString().matchAll(/^[ \t]{0,40}(?:from|import)[ \t]{1,10}(\w{1,100})/gm)].map(([, name]) => name ?? ""),
  );
  for (const name of [...imported].slice(0, 100)) {
    const lies = await Promise.all([`${name}.py`, `${name}/__init__.py`].map((file) => isFile(join(entry.root, file))));
    if (`${name}.py` !== entry.file && lies.includes(true))
      warnings.push(
        `${shown(entry.file)} imports ${name}, which lies beside it and is not part of the bundle; deploy the directory instead.`,
      );
  }
  return [{ name: moduleName(entry.file), bytes }];
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** A file name that can be imported: `01-hello.py` becomes `_01_hello.py`. */
function moduleName(file: string): string {
  const stem = file.replace(/\.py$/, "").replace(/[^\p{ID_Continue}]/gu, "_");
  return `${/^\p{ID_Start}|^_/u.test(stem) ? stem : `_${stem}`}.py`;
}

/** Top-level names that installed packages brought along, as pip's RECORD files list them. */
function vendoredNames(files: readonly TreeFile[]): Set<string> {
  const names = new Set<string>();
  for (const { name, bytes } of files) {
    if (!/^[^/]+\.dist-info\/RECORD$/.test(name)) continue;
    for (const line of Buffer.from(bytes).toString().split("\n")) names.add(line.split(/[/,]/, 1)[0] ?? "");
  }
  return names;
}

function isVendored(name: string, vendored: ReadonlySet<string>): boolean {
  return vendored.has(name.split("/", 1)[0] ?? "");
}

function zip(entries: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const table: Record<string, [Uint8Array, { level: 0 | 6 }]> = Object.create(null);
  for (const name of [...entries.keys()].sort()) {
    const bytes = entries.get(name);
    // Tiny files gain nothing from compression and load faster without.
    if (bytes !== undefined) table[name] = [bytes, { level: bytes.length < 512 ? 0 : 6 }];
  }
  return zipSync(table, { mtime: MTIME, os: 3 });
}
