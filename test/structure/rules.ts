/**
 * The layer rule as a table: what each folder may import and which globals it may not touch.
 * `protocol ← actors ← nodes ← cli`; only `nodes/io` touches the world. biome.json says the same while one types;
 * this table is what holds when the linter changes.
 */
export interface Layer {
  /** Folder, relative to the project root; of two that match, the longer one counts. */
  readonly folder: string;
  /** Folders of ours that may be imported. */
  readonly ours: readonly string[];
  /** Folders of ours of which only types may be imported. */
  readonly types?: readonly string[];
  /** Packages and Node modules; `"*"` is any. A name covers what lies below it (`typebox` covers `typebox/compile`). */
  readonly packages: readonly string[];
  /** Packages of which only types may be imported. */
  readonly packageTypes?: readonly string[];
  /** True: nothing that reads a clock, waits, draws at random, or knows Node. */
  readonly pure: boolean;
}

export const LAYERS: readonly Layer[] = [
  { folder: "protocol", ours: ["protocol"], packages: ["typebox", "msgpackr"], pure: true },
  { folder: "actors", ours: ["protocol", "actors"], packages: ["xstate"], packageTypes: ["typebox"], pure: true },
  { folder: "runtimes", ours: ["protocol", "runtimes"], types: ["actors"], packages: [], pure: true },
  {
    folder: "nodes",
    ours: ["protocol", "actors", "runtimes", "nodes"],
    packages: ["node:url", "node:path", "node:os", "node:util"],
    pure: false,
  },
  { folder: "nodes/io", ours: ["protocol", "actors", "runtimes", "nodes"], packages: ["*"], pure: false },
  { folder: "client", ours: ["protocol", "nodes/io", "client"], packages: [], pure: false },
  {
    folder: "cli",
    ours: ["protocol", "nodes", "runtimes", "client", "cli"],
    types: ["actors"],
    packages: ["@stricli/core", "cli-table3", "ms", "typebox", "node:url", "node:path", "node:os", "node:util", "node:perf_hooks"],
    pure: false,
  },
];

/** Packages that only `nodes/io` may import, whatever else a layer allows. */
export const WORLD: readonly string[] = [
  "nats",
  "pino",
  "node:child_process",
  "node:fs",
  "node:net",
  "node:http",
  "node:https",
  "node:tls",
  "node:dgram",
];

/** Globals of a pure layer, each with what to use instead. `Math.random` is a member, the others are whole names. */
export const IMPURE: Readonly<Record<string, string>> = {
  Date: "take the time from the Clock port or as a parameter",
  performance: "take the time from the Clock port or as a parameter",
  setTimeout: "use the Clock port: after()",
  setInterval: "use the Clock port: every()",
  setImmediate: "use the Clock port: soon()",
  "Math.random": "use the Random port",
  crypto: "use the Random port",
  process: "take what is needed as a port or an option",
  Buffer: "use Uint8Array",
  console: "use the Log port",
  fetch: "take what is needed as a port",
  require: "import it at the top",
  globalThis: "name the global itself",
  global: "name the global itself",
};
