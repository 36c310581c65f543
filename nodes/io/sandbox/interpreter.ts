/**
 * The interpreters of this host: where they really are, what they need beside them, and whether other users may read it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

/** Something of the host that is bound into the box, read-only. */
export interface Bound {
  readonly from: string;
  readonly to: string;
}

export interface Interpreter {
  /** For example "node 20.20.2". */
  readonly version: string;
  /** As the host sees it, symbolic links resolved. */
  readonly binary: string;
  /** As a box sees it. */
  readonly inside: string;
  readonly bound: readonly Bound[];
  /** Files whose shared libraries the box needs. */
  readonly linked: readonly string[];
}

const PATH = "/usr/local/bin:/usr/bin:/bin";

/** Node: always the one that runs the agent. */
export function nodeInterpreter(): Interpreter {
  const binary = realpathSync(process.execPath);
  return {
    version: `node ${process.versions.node}`,
    binary,
    inside: "/bin/node",
    bound: [{ from: binary, to: "/bin/node" }],
    linked: [binary],
  };
}

const PYTHON_FACTS = `
import json, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({"executable": sys.executable, "version": list(sys.version_info[:3]), "directories": sorted({paths["stdlib"], paths["platstdlib"]})}))
`;

/** The first real Python 3 that other users may read (a shim is asked for what it starts); undefined when there is none. */
export function pythonInterpreter(): Interpreter | undefined {
  // Asking takes a process or two: once.
  python ??= { found: findPython() };
  return python.found;
}

let python: { readonly found: Interpreter | undefined } | undefined;

function findPython(): Interpreter | undefined {
  const onPath = (process.env["PATH"] ?? "").split(":").map((directory) => join(directory, "python3"));
  const found = ["/usr/bin/python3", "/usr/local/bin/python3", "/opt/homebrew/bin/python3", ...onPath].filter((path) => existsSync(path));
  let closed: Interpreter | undefined;
  for (const path of new Set(found)) {
    const interpreter = askPython(path);
    if (interpreter === undefined) continue;
    if (interpreter.bound.every((bound) => openToAll(bound.from))) return interpreter;
    closed ??= interpreter;
  }
  return closed;
}

function askPython(path: string): Interpreter | undefined {
  try {
    const environment = { PATH, HOME: process.env["HOME"] ?? "/" };
    const facts: unknown = JSON.parse(
      execFileSync(path, ["-I", "-S", "-c", PYTHON_FACTS], {
        env: environment,
        encoding: "utf8",
        timeout: 10_000,
        stdio: ["ignore", "pipe", "ignore"],
      }),
    );
    const { executable, version, directories } = facts as { executable: string; version: number[]; directories: string[] };
    if (version[0] !== 3) return undefined;
    const binary = realpathSync(executable);
    const modules = directories.flatMap((directory) => {
      const dynamic = join(directory, "lib-dynload");
      return existsSync(dynamic)
        ? readdirSync(dynamic)
            .filter((name) => name.endsWith(".so"))
            .map((name) => join(dynamic, name))
        : [];
    });
    const bound = [binary, ...directories].map((one) => ({ from: realpathSync(one), to: one }));
    return { version: `python ${version.join(".")}`, binary, inside: binary, bound, linked: [binary, ...modules] };
  } catch {
    return undefined;
  }
}

/** True when any user of the machine may read a path. */
export function openToAll(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    const { mode } = statSync(at);
    if ((mode & 0o001) === 0 && (at !== path || statSync(at).isDirectory())) return false;
    if (at === path && (mode & 0o004) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** Absolute paths of the shared libraries (and the loader) that files are linked to. */
export function librariesOf(files: readonly string[]): string[] {
  const text = execFileSync("ldd", files, { env: { PATH }, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const paths = new Set<string>();
  for (const line of text.split("\n")) {
    const path = /(?:=>\s+)?(\/\S+)\s+\(0x/.exec(line)?.[1];
    if (path !== undefined) paths.add(path);
  }
  return [...paths];
}
