/**
 * What a box sees as its root: a directory of our own with the libraries that the runtimes need (copied once), empty
 * mount points and a few neutral files in /etc. Binaries and the standard library of Python are bound into it.
 * Nothing else of the host exists inside.
 */
import { execFileSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { type Bound, type Interpreter, librariesOf, openToAll } from "./interpreter.ts";

/**
 * Copies the folder of a bootstrap, so that a box never sees where this program is installed, and compiles what is in it
 * for Python: a box that starts may not write what it compiled. Returns the bootstrap's file name.
 */
export function stageBootstrap(bootstrap: string, directory: string, runtime: RuntimeName, interpreter: Interpreter): string {
  cpSync(dirname(bootstrap), directory, { recursive: true, filter: (path) => !path.includes("__pycache__") });
  if (runtime === "python") compileModules(directory, interpreter);
  openUp(directory);
  return basename(bootstrap);
}

const COMPILE = `
import os, py_compile, sys
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        if name.endswith(".py"):
            py_compile.compile(os.path.join(folder, name), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
`;

function compileModules(directory: string, interpreter: Interpreter): void {
  try {
    execFileSync(interpreter.binary, ["-I", "-S", "-c", COMPILE, directory], { env: {}, stdio: "ignore", timeout: LIMITS.boot.value });
  } catch {
    // It works without, each time a little slower.
  }
}

function openUp(path: string): void {
  const directory = statSync(path).isDirectory();
  chmodSync(path, directory ? 0o755 : 0o644);
  if (directory) for (const name of readdirSync(path)) openUp(join(path, name));
}

/** Builds the root of one runtime's boxes; returns what must be bound into it. */
export function stageRoot(root: string, runtime: RuntimeName, interpreter: Interpreter, bootstrap: string): Bound[] {
  for (const directory of ["proc", "dev", "tmp", "code", "dial", "etc", "runtime"]) mkdirSync(join(root, directory), { recursive: true });
  stageBootstrap(bootstrap, join(root, "runtime"), runtime, interpreter);
  for (const library of librariesOf(interpreter.linked)) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(library, join(root, library), constants.COPYFILE_FICLONE);
    chmodSync(join(root, library), 0o755);
  }
  const etc = {
    passwd: "user:x:1000:1000::/tmp:/bin/false\n",
    group: "user:x:1000:\n",
    hosts: "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
    "resolv.conf": "",
  };
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

/** What a box with a network needs to trust others. */
export function networkFiles(): Bound[] {
  const paths = ["/etc/ssl/certs", "/usr/share/ca-certificates"];
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
