/**
 * JavaScript and TypeScript: esbuild makes one CommonJS text with a source map. Types are stripped, not checked.
 *
 * B1  Line 1 of a bundle never holds user code, so a wrapper put before it shifts no mapped column.
 * B2  The last line names the digest of the source map: the bundle's digest covers its map too.
 * B3  The text is ASCII (V8 keeps it in one byte per character).
 */
import { stat } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, join, resolve } from "node:path";
import type { BuildFailure, BuildOptions, BuildResult, Message, Metafile, Plugin } from "esbuild";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { megabytes, type Packed, sha256, shown, tooLarge } from "./bundle.ts";
import { type Complaint, complain } from "./complaint.ts";
import { type Entry, within } from "./entry.ts";

const FIRST_LINE = "// a Pilotlight bundle";

type Built = BuildResult<{ write: false; metafile: true }>;
type Handler = Pick<Entry, "handler" | "handlerNamed">;

const SETTINGS = {
  bundle: true,
  write: false,
  metafile: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  charset: "ascii",
  treeShaking: true,
  sourcemap: "external",
  sourcesContent: true,
  legalComments: "none",
  keepNames: true,
  allowOverwrite: true,
  logLevel: "silent",
  logLimit: 50,
  banner: { js: FIRST_LINE },
  // A bundle has no place of its own in a file system; what asks for one gets a name instead of undefined.
  define: {
    "import.meta.url": '"file:///function.cjs"',
    "import.meta.filename": '"/function.cjs"',
    "import.meta.dirname": '"/"',
  },
  logOverride: {
    "unsupported-require-call": "warning",
    "unsupported-dynamic-import": "warning",
    "empty-import-meta": "silent",
  },
} as const satisfies BuildOptions;

/** Bundles an entry with everything it imports. Throws Fault BadCode, BundleTooLarge. */
export async function packNode(entry: Entry): Promise<Packed> {
  const guard = new Guard();
  const options = {
    ...SETTINGS,
    absWorkingDir: entry.root,
    outfile: join(entry.root, "function.cjs"),
    entryPoints: [join(entry.root, entry.file)],
    plugins: [guard.plugin],
  };
  const built = await build(options, guard);
  const escaped = entry.whole ? escapes(entry.root, built.metafile) : undefined;
  if (escaped !== undefined) throw new Fault("BadCode", `${shown(escaped)} is a symbolic link that leads out of the directory.`);
  return pack(built, await pickHandler(built, options, entry), Object.keys(built.metafile.inputs).length);
}

/**
 * Compiles a text that may import nothing but Node's built-in modules. Throws Fault BadCode.
 * It is not bundled: esbuild then resolves nothing, so no import and no pattern of imports can make it look at a file.
 */
export async function packNodeSource(source: string, handler: Handler): Promise<Packed> {
  const options = {
    ...SETTINGS,
    bundle: false,
    absWorkingDir: "/",
    outfile: "/function.cjs",
    stdin: { contents: source, loader: "ts", sourcefile: "function.ts" },
    tsconfigRaw: "{}",
  } satisfies BuildOptions;
  const built = await build(options);
  for (const { imports } of Object.values(built.metafile.outputs)) {
    const foreign = imports.find(({ path }) => !isBuiltin(path));
    if (foreign !== undefined) throw new Fault("BadCode", complain([complaintOfImport(source, foreign.path)]));
  }
  return pack(built, await pickHandler(built, options, handler), 1);
}

function complaintOfImport(source: string, path: string): Complaint {
  const what = `Cannot import "${shown(path)}": code inside a request may import only Node's built-in modules`;
  const at = ['"', "'", "`"].map((quote) => source.indexOf(quote + path + quote)).find((found) => found >= 0);
  if (at === undefined) return { what, file: "function.ts" };
  const before = source.slice(0, at).split("\n");
  const column = (before.at(-1)?.length ?? 0) + 1;
  return { what, file: "function.ts", line: before.length, column, text: source.split("\n")[before.length - 1] ?? "" };
}

function pack(built: Built, handler: string, files: number): Packed {
  const output = (ending: string): Uint8Array =>
    built.outputFiles.find((file) => file.path.endsWith(ending))?.contents ?? new Uint8Array(0);
  let map = output(".map");
  const warnings = built.warnings.map((warning) => complain([complaintOf(warning)]));
  if (map.length > LIMITS.sourceMap.value) {
    map = new Uint8Array(0);
    warnings.push(
      `The source map is larger than ${megabytes(LIMITS.sourceMap.value)} and was left out; stacks will name lines of the bundle.`,
    );
  }
  const code = Buffer.concat([output("function.cjs"), Buffer.from(`//# map ${sha256(map)}\n`)]);
  return { handler, code, files, warnings, ...(map.length > 0 && { map }) };
}

async function build(options: BuildOptions & { write: false; metafile: true }, guard?: Guard): Promise<Built> {
  try {
    return await compile(options);
  } catch (thrown) {
    throw guard?.refusal ?? faultOf(thrown);
  }
}

/** Counts esbuild's processes: of several builds that lost the same one, only the first puts it away. */
let generation = 0;

/**
 * One build, and one more when esbuild's process was gone: killed from outside, or put away with another build.
 * A build cannot be taken back alone: one that lasts too long takes the process with it.
 */
async function compile(options: BuildOptions & { write: false; metafile: true }, again = true): Promise<Built> {
  const esbuild = await import("esbuild");
  const own = generation;
  const putAway = async (): Promise<void> => {
    if (own !== generation) return;
    generation += 1;
    await esbuild.stop();
  };
  const limit = LIMITS.bundleTime.value;
  let timer: NodeJS.Timeout | undefined;
  const tooSlow = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Fault("BadCode", `Bundling took longer than ${limit / 1000} s and was given up.`)), limit);
  });
  try {
    return await Promise.race([esbuild.build(options), tooSlow]);
  } catch (thrown) {
    if (thrown instanceof Fault) {
      await putAway();
      throw thrown;
    }
    const gone = thrown instanceof Error && !("errors" in thrown) && /service (was|is)/.test(thrown.message);
    if (!gone) throw thrown;
    await putAway();
    if (!again) throw new Fault("BadCode", "The compiler ended twice while it read this code.", undefined, thrown);
  } finally {
    clearTimeout(timer);
  }
  return compile(options, false);
}

/** What esbuild may load: regular files, bounded in number and bytes before they are read. */
class Guard {
  refusal: Fault | undefined;
  #files = 0;
  #bytes = 0;

  readonly plugin: Plugin = {
    name: "guard",
    setup: (build) => {
      build.onLoad({ filter: /.*/, namespace: "file" }, async ({ path }) => {
        const info = await stat(path);
        if (!info.isFile()) return { errors: [{ text: `${shown(path)} is not a regular file` }] };
        this.#files += 1;
        this.#bytes += info.size;
        if (this.#files > LIMITS.bundleFiles.value) return this.#refuse(`The code imports more than ${LIMITS.bundleFiles.value} files`);
        if (this.#bytes > LIMITS.bundle.value)
          return this.#refuse(
            `The imported files have more than ${megabytes(LIMITS.bundle.value)} together (the last was ${shown(path)}, ${megabytes(info.size)})`,
          );
        if (path.endsWith(".node"))
          return {
            errors: [{ text: "A native addon (.node file) cannot be part of a bundle; use a package without native code" }],
          };
        return undefined;
      });
    },
  };

  #refuse(what: string) {
    this.refusal ??= tooLarge(what);
    return { errors: [{ text: what }] };
  }
}

/** A relative import that stays inside the directory by name but leaves it through a symbolic link; packages may lie elsewhere. */
function escapes(root: string, metafile: Metafile): string | undefined {
  for (const [importer, { imports }] of Object.entries(metafile.inputs)) {
    for (const { path, original, external } of imports) {
      if (external || original === undefined || !/^\.\.?(\/|$)/.test(original)) continue;
      const named = resolve(root, dirname(importer), original);
      if (within(root, named) && !within(root, resolve(root, path))) return original;
    }
  }
  return undefined;
}

/** Refuses a handler that the code is known not to export; an entry in CommonJS tells only when it runs. */
async function pickHandler(built: Built, options: BuildOptions, { handler, handlerNamed }: Handler): Promise<string> {
  const entryPoint = Object.values(built.metafile.outputs).find((output) => output.entryPoint !== undefined)?.entryPoint;
  if (entryPoint === undefined || built.metafile.inputs[entryPoint]?.format !== "esm") return handler;
  const again = await build({ ...options, format: "esm", sourcemap: false, write: false, metafile: true });
  const exported = Object.values(again.metafile.outputs).find((output) => output.entryPoint === entryPoint)?.exports ?? [];
  if (exported.includes(handler)) return handler;
  if (!handlerNamed && exported.includes("default")) return "default";
  // `export * from` a CommonJS module: the names are known only when it runs.
  if (again.outputFiles.some((file) => file.text.includes("__reExport("))) return handler;
  const what = exported.length === 0 ? "it exports nothing" : `it exports ${exported.slice(0, 10).map(shown).join(", ")}`;
  throw new Fault("BadCode", `${shown(entryPoint)} does not export "${handler}"; ${what}. Export it, or name the handler with --handler.`);
}

function faultOf(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const failure = thrown as Partial<BuildFailure>;
  if (!Array.isArray(failure.errors) || failure.errors.length === 0)
    return new Fault("BadCode", `The code cannot be bundled: ${shown(thrown instanceof Error ? thrown.message : "")}`, undefined, thrown);
  return new Fault("BadCode", complain(failure.errors.map(complaintOf)));
}

function complaintOf({ text, location }: Message): Complaint {
  const what = advise(text.length > 500 ? `${text.slice(0, 500)}…` : text);
  if (location === null) return { what };
  // esbuild counts columns in bytes of UTF-8, from 0.
  const before = Buffer.from(location.lineText).subarray(0, location.column).toString();
  return { what, file: shown(location.file), line: location.line, column: before.length + 1, text: location.lineText };
}

function advise(text: string): string {
  if (text.startsWith("Top-level await"))
    return "Top-level await is not possible here; move it into an async function, for example one that the handler calls first";
  if (text.startsWith("Could not resolve")) return `${text}; install it beside the code or correct the path`;
  if (text.includes("will not be bundled because")) return `${text}; what it names at run time is not part of the bundle`;
  return text;
}
