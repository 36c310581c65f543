/** What is needed to run each runtime on this host: its interpreter and its bootstrap. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { RUNTIMES } from "../../../runtimes/index.ts";
import { type Interpreter, nodeInterpreter, pythonInterpreter } from "./interpreter.ts";

export interface Runnable {
  readonly interpreter: Interpreter;
  /** Path of the bootstrap on the host; its folder goes with it. */
  readonly bootstrap: string;
}

/** Words between an interpreter and its bootstrap, and after it. */
export const FLAGS: Record<RuntimeName, { readonly before: readonly string[]; readonly after: readonly string[] }> = {
  node: { before: ["--no-warnings"], after: [] },
  python: { before: ["-I", "-B", "-S"], after: ["--zygote"] },
};

/** The runtimes whose interpreter is installed; `bootstraps` replaces those of the project. */
export function findRunnables(bootstraps: Partial<Record<RuntimeName, string>> = {}): Map<RuntimeName, Runnable> {
  const interpreters: Record<RuntimeName, Interpreter | undefined> = { node: nodeInterpreter(), python: pythonInterpreter() };
  const runnables = new Map<RuntimeName, Runnable>();
  for (const { name, bootstrap } of Object.values(RUNTIMES)) {
    const interpreter = interpreters[name];
    const file = bootstraps[name] ?? join(projectRoot(), bootstrap);
    if (interpreter !== undefined && existsSync(file)) runnables.set(name, { interpreter, bootstrap: file });
  }
  return runnables;
}

/** The folder that holds the project's package.json, from wherever this file was built to. */
function projectRoot(): string {
  const given = process.env["PILOT_ROOT"];
  if (given !== undefined) return given;
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, "package.json")) && existsSync(join(at, "runtimes", "index.ts"))) return at;
    if (at === dirname(at)) throw new Fault("BootFailed", "The project's folder was not found. Set PILOT_ROOT.");
  }
}
