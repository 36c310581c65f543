/**
 * What a box sees as its root: a directory of our own with the libraries that the runtimes need (copied once), empty
 * mount points and a few neutral files in /etc. Binaries and the standard library of Python are bound into it.
 * Nothing else of the host exists inside.
 */
import { execFileSync } from "node:child_process";
import { accessSync, chmodSync, constants, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";

/** Something of the host that is bound into the box, read-only. */
export interface Bound {
  readonly from: string;
  readonly to: string;
}

export interface Interpreter {
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
  return { binary, inside: "/bin/node", bound: [{ from: binary, to: "/bin/node" }], linked: [binary] };
}

const PYTHON_FACTS = `
import json, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({"executable": sys.executable, "version": sys.version_info[0], "directories": sorted({paths["stdlib"], paths["platstdlib"]})}))
`;

/** The first real Python 3 that other users may read (a shim is asked for what it starts); undefined when there is none. */
export function pythonInterpreter(): Interpreter | undefined {
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
    const facts: unknown = JSON.parse(execFileSync(path, ["-I", "-S", "-c", PYTHON_FACTS], { env: environment, encoding: "utf8", timeout: 10_000, stdio: ["ignore", "pipe", "ignore"] }));
    const { executable, version, directories } = facts as { executable: string; version: number; directories: string[] };
    if (version !== 3) return undefined;
    const binary = realpathSync(executable);
    const modules = directories.flatMap((directory) => {
      const dynamic = join(directory, "lib-dynload");
      return existsSync(dynamic) ? readdirSync(dynamic).filter((name) => name.endsWith(".so")).map((name) => join(dynamic, name)) : [];
    });
    const bound = [binary, ...directories].map((one) => ({ from: realpathSync(one), to: one }));
    return { binary, inside: binary, bound, linked: [binary, ...modules] };
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

/** Copies the folder of a bootstrap, so that a box never sees where this program is installed. Returns the bootstrap's file name. */
export function stageBootstrap(bootstrap: string, directory: string): string {
  cpSync(dirname(bootstrap), directory, { recursive: true, filter: (path) => !path.includes("__pycache__") });
  openUp(directory);
  return basename(bootstrap);
}

function openUp(path: string): void {
  const directory = statSync(path).isDirectory();
  chmodSync(path, directory ? 0o755 : 0o644);
  if (directory) for (const name of readdirSync(path)) openUp(join(path, name));
}

/** Builds the root of one runtime's boxes; returns what must be bound into it. */
export function stageRoot(root: string, runtime: RuntimeName, interpreter: Interpreter, bootstrap: string): Bound[] {
  for (const directory of ["proc", "dev", "tmp", "code", "dial", "etc", "runtime"]) mkdirSync(join(root, directory), { recursive: true });
  stageBootstrap(bootstrap, join(root, "runtime"));
  for (const library of librariesOf(interpreter.linked)) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library), constants.COPYFILE_FICLONE);
    chmodSync(join(root, library), 0o755);
  }
  const etc = { passwd: "user:x:1000:1000::/tmp:/bin/false\n", group: "user:x:1000:\n", hosts: "127.0.0.1 localhost\n::1 localhost\n", "nsswitch.conf": "hosts: files dns\n", "resolv.conf": "" };
  for (const [name, text] of Object.entries(etc)) writeFileSync(join(root, "etc", name), text);
  const bound: Bound[] = [];
  for (const one of interpreter.bound) {
    makePoint(join(root, one.to), statSync(one.from).isDirectory());
    // A binary inside somebody's home cannot be bound by another user: it is copied.
    if (openToAll(one.from) || statSync(one.from).isDirectory()) bound.push(one);
    else {
      copyFileSync(one.from, join(root, one.to), constants.COPYFILE_FICLONE);
      chmodSync(join(root, one.to), 0o755);
    }
  }
  if (runtime === "python" && readable("/usr/share/zoneinfo")) {
    makePoint(join(root, "usr/share/zoneinfo"), true);
    bound.push({ from: "/usr/share/zoneinfo", to: "/usr/share/zoneinfo" });
  }
  makePoint(join(root, "etc/ssl/certs"), true);
  makePoint(join(root, "usr/share/ca-certificates"), true);
  return bound;
}

/** What a box with the host's network needs to find and trust others. */
export function networkFiles(): Bound[] {
  const paths = ["/etc/resolv.conf", "/etc/ssl/certs", "/usr/share/ca-certificates"];
  return paths.filter(readable).map((path) => ({ from: realpathSync(path), to: path }));
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function makePoint(path: string, directory: boolean): void {
  mkdirSync(directory ? path : dirname(path), { recursive: true });
  if (!directory && !existsSync(path)) writeFileSync(path, "", { mode: 0o755 });
}
