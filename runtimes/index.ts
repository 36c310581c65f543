/** The table of runtimes. A new one is a folder here and a line below. */
import type { RuntimeName } from "../actors/instance/sandbox.ts";

export interface Runtime {
  readonly name: RuntimeName;
  /** Bootstrap file, relative to the project root. */
  readonly bootstrap: string;
  /** `container`: every container is a box of its own. `fork`: a box holds a zygote, containers are its forks. */
  readonly containers: "box" | "fork";
  /** The handler when a function names none. */
  readonly handler: string;
  /** File endings that tell this runtime at deploy. */
  readonly endings: readonly string[];
}

export const RUNTIMES = {
  node: {
    name: "node",
    bootstrap: "runtimes/node/bootstrap.cjs",
    containers: "box",
    handler: "handler",
    endings: [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"],
  },
  python: { name: "python", bootstrap: "runtimes/python/bootstrap.py", containers: "fork", handler: "handler", endings: [".py"] },
} as const satisfies Record<RuntimeName, Runtime>;
