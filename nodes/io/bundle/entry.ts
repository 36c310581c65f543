/**
 * Finds what a deploy means: runtime, root directory, entry file and handler, from a path and what the developer said.
 * Everything that cannot be meant is a Fault BadRequest that says what was looked for.
 */
import type { Stats } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, relative, sep } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { RUNTIMES } from "../../../runtimes/index.ts";
import { megabytes, shown, tooLarge } from "./bundle.ts";
import { packageMain } from "./package-main.ts";

export interface BundleOptions {
  /** Else told by the file's ending or by what the directory holds. */
  readonly runtime?: RuntimeName;
  /** Name of the exported function, or `module.function` as Lambda writes it; the runtime's own default otherwise. */
  readonly handler?: string;
  /** Name of the function to be, for messages. */
  readonly name?: string;
}

export interface Entry {
  readonly runtime: RuntimeName;
  /** Real path of the directory that the code lives in. */
  readonly root: string;
  /** The entry file, relative to root. */
  readonly file: string;
  /** True when a directory was given, so that everything in it belongs to the function. */
  readonly whole: boolean;
  readonly handler: string;
  /** True when the developer named the handler. */
  readonly handlerNamed: boolean;
}

const STEMS = {
  node: ["index", "handler", "main", "function"],
  python: ["main", "handler", "app", "function", "lambda_function", "index"],
} as const satisfies Record<RuntimeName, readonly string[]>;

const ENDINGS = { node: [".ts", ".mts", ".cts", ".js", ".mjs", ".cjs"], python: [".py"] } as const satisfies Record<
  RuntimeName,
  readonly string[]
>;
const ALL_ENDINGS = [...ENDINGS.node, ...ENDINGS.python];

/** Throws Fault BadRequest, or BundleTooLarge for an entry that is too large by itself. */
export async function findEntry(path: string, options: BundleOptions): Promise<Entry> {
  const { real, info } = await look(path);
  const named = splitHandler(options.handler);
  const found = info.isDirectory()
    ? await inDirectory(real, path, options.runtime, named?.module)
    : asFile(real, path, options.runtime, named?.module);
  await checkText(join(found.root, found.file), found.runtime);
  return { ...found, handler: named?.name ?? RUNTIMES[found.runtime].handler, handlerNamed: named !== undefined };
}

async function look(path: string): Promise<{ real: string; info: Stats }> {
  try {
    const real = await realpath(path);
    const info = await stat(real);
    if (!info.isFile() && !info.isDirectory()) throw new Fault("BadRequest", `${shown(path)} is neither a file nor a directory.`);
    return { real, info };
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault("BadRequest", `${shown(path)} cannot be deployed: ${reason(thrown)}.`, undefined, thrown);
  }
}

function asFile(
  real: string,
  path: string,
  runtime: RuntimeName | undefined,
  module: string | undefined,
): Omit<Entry, "handler" | "handlerNamed"> {
  const ending = extname(real);
  const told = runtimeOf(ending);
  if (told === undefined)
    throw new Fault("BadRequest", `${shown(path)} has an unknown ending; functions end in ${ALL_ENDINGS.join(", ")}.`);
  if (runtime !== undefined && runtime !== told)
    throw new Fault("BadRequest", `${shown(path)} is code for ${told}, but the runtime was given as ${runtime}.`);
  const stem = basename(real, ending);
  if (module !== undefined && module !== stem)
    throw new Fault("BadRequest", `The handler names the module "${shown(module)}", but the file is ${shown(path)}.`);
  return { runtime: told, root: dirname(real), file: basename(real), whole: false };
}

async function inDirectory(
  root: string,
  path: string,
  runtime: RuntimeName | undefined,
  module: string | undefined,
): Promise<Omit<Entry, "handler" | "handlerNamed">> {
  const looked: string[] = [];
  if (runtime !== "python" && module === undefined) {
    const main = await packageMain(root, (file) => isInside(root, file));
    if (main !== undefined) return { runtime: "node", root, file: main, whole: true };
  }
  const kinds: readonly RuntimeName[] = runtime === undefined ? ["node", "python"] : [runtime];
  const found: { runtime: RuntimeName; file: string }[] = [];
  for (const kind of kinds) {
    const stems = module === undefined ? STEMS[kind] : [modulePath(module, kind)];
    const names = stems.flatMap((stem) => ENDINGS[kind].map((ending) => stem + ending));
    looked.push(`${stems.join(", ")} with ${ENDINGS[kind].join(", ")}`);
    for (const file of names) {
      if (!(await isInside(root, file))) continue;
      found.push({ runtime: kind, file });
      break;
    }
  }
  const [first, second] = found;
  if (first === undefined) throw new Fault("BadRequest", `The directory ${shown(path)} has no entry; looked for ${looked.join("; and ")}.`);
  if (second !== undefined)
    throw new Fault(
      "BadRequest",
      `The directory ${shown(path)} has ${first.file} and ${second.file}; say which runtime is meant with --runtime.`,
    );
  return { ...first, root, whole: true };
}

/** True when `file` is a regular file that, followed through symlinks, lies below root. */
async function isInside(root: string, file: string): Promise<boolean> {
  try {
    const real = await realpath(join(root, file));
    if (!(await stat(real)).isFile()) return false;
    if (!within(root, real)) throw new Fault("BadRequest", `${shown(file)} leads out of the directory; deploy what it points at.`);
    return true;
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    return false;
  }
}

/** Both are real paths. */
export function within(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

async function checkText(file: string, runtime: RuntimeName): Promise<void> {
  const name = shown(basename(file));
  const { size } = await stat(file);
  if (size > LIMITS.bundle.value) throw tooLarge(`${name} has ${megabytes(size)}`);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (thrown) {
    throw new Fault("BadRequest", `${name} cannot be read: ${reason(thrown)}.`, undefined, thrown);
  }
  checkSource(name, bytes, runtime);
}

/** Throws Fault BadRequest for source that is empty or not text. */
export function checkSource(name: string, bytes: Uint8Array, runtime: RuntimeName): void {
  if (bytes.includes(0)) throw new Fault("BadRequest", `${name} is a binary file, not source code.`);
  // Python states its encoding inside the file; its own compiler judges that.
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: runtime === "node" }).decode(bytes);
  } catch {
    throw new Fault("BadRequest", `${name} is not UTF-8 text.`);
  }
  if (text.trim() === "") throw new Fault("BadRequest", `${name} is empty.`);
}

function runtimeOf(ending: string): RuntimeName | undefined {
  for (const runtime of Object.values(RUNTIMES)) if ((runtime.endings as readonly string[]).includes(ending)) return runtime.name;
  return undefined;
}

function modulePath(module: string, runtime: RuntimeName): string {
  return runtime === "python" ? module.replaceAll(".", "/") : module;
}

/** `handler`, `module.handler`, `pkg/module.handler`. */
export function splitHandler(handler: string | undefined): { module?: string; name: string } | undefined {
  if (handler === undefined) return undefined;
  const dot = handler.lastIndexOf(".");
  const name = handler.slice(dot + 1);
  const module = dot < 0 ? undefined : handler.slice(0, dot);
  const wellFormed = /^[\p{ID_Start}_$][\p{ID_Continue}$]{0,127}$/u.test(name);
  if (!wellFormed || (module !== undefined && !/^[\w-]+([./][\w-]+){0,15}$/.test(module))) {
    throw new Fault("BadRequest", `"${shown(handler)}" is not the name of a handler; write function or module.function.`);
  }
  return module === undefined ? { name } : { module, name };
}

/** The system's reason in words. */
export function reason(thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  return REASONS[code] ?? (thrown instanceof Error ? shown(thrown.message) : "it cannot be read");
}

const REASONS: Record<string, string | undefined> = {
  ENOENT: "it does not exist",
  ENOTDIR: "a part of its path is not a directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ELOOP: "its symbolic links go round in a circle",
  ENAMETOOLONG: "its name is too long",
  ERR_INVALID_ARG_VALUE: "its name holds a zero byte",
};
