/** The directory of the nodes of one `node run`: `contexts/ logs/ run/ cache/ lock ready`. Nothing in it has to outlive them. */
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { openDirectory, replaceFile } from "./directory.ts";
import { dataHome } from "./store.ts";

export interface NodeData {
  readonly directory: string;
  readonly contexts: string;
  readonly logs: string;
  contextFile(name: string): string;
  writeContext(name: string, context: Record<string, string>): Promise<void>;
  /** Puts the file `ready` there, which whoever looks after this process from outside can see. It is gone at the next start and after close. */
  markReady(): Promise<void>;
  /** Gives the lock back, and removes what was temporary. */
  close(): Promise<void>;
}

/** Where it is when nobody says: `${XDG_DATA_HOME:-~/.local/share}/pilotlight/nodes/<name, or default>`. */
export function defaultNodeData(name: string | undefined, environment: NodeJS.ProcessEnv): string {
  return join(dataHome(environment), "nodes", name ?? "default");
}

/** Makes it and takes its lock; without a path one that is removed in the end. Rejects with Fault Conflict when a live process has it. */
export async function openNodeData(path: string | undefined): Promise<NodeData> {
  const where = path ?? (await mkdtemp(join(tmpdir(), "pilotlight-node-")));
  const owned = await openDirectory(where, ["contexts", "logs", "run"], "the data directory", "give another with --name or --data");
  const contexts = join(owned.path, "contexts");
  const ready = join(owned.path, "ready");
  await rm(ready, { force: true });
  const contextFile = (name: string): string => join(contexts, `${name}.json`);
  return {
    directory: owned.path,
    contexts,
    logs: join(owned.path, "logs"),
    contextFile,
    writeContext: (name, context) => replaceFile(contextFile(name), `${JSON.stringify(context, undefined, 2)}\n`),
    markReady: () => replaceFile(ready, `${process.pid}\n`),
    async close() {
      await rm(ready, { force: true });
      await (path === undefined ? owned.remove() : owned.release());
    },
  };
}

/** The name of this machine as part of an id, with six characters that tell this directory from others. */
export function nameOf(directory: string): string {
  const machine = hostname().replaceAll(/[^A-Za-z0-9_-]+/g, "-");
  return `${machine.slice(0, 32)}-${markOf(directory)}`;
}

/** Six characters that tell the nodes of this directory from those of other machines and directories. */
export function markOf(directory: string): string {
  return createHash("sha256").update(`${hostname()}\0${directory}`).digest("hex").slice(0, 6);
}
