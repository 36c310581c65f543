/**
 * The directory of one local form: `broker/ contexts/ logs/ run/ secrets.json lock`.
 *
 * T1  One `up` per store: the lock names a live process, a lock of a dead one is taken over.
 * T2  Credentials are made once and kept; only their owner may read them (0600 in 0700).
 * T3  A context file is replaced whole, so that a reader never sees half of one.
 */
import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { Fault } from "../../protocol/errors.ts";
import type { Role } from "../../protocol/subjects.ts";
import { type BrokerUser, OPERATOR_INBOX } from "./broker/config.ts";
import { startedAt } from "./process-identity.ts";

export interface Store {
  readonly directory: string;
  readonly broker: string;
  readonly contexts: string;
  readonly logs: string;
  /** Path of the context file of a node id, or of `operator` or `system`. */
  contextFile(name: string): string;
  /** Users of these nodes, the operator and the anonymous; each password is made at its first use and kept. */
  credentials(nodes: readonly { readonly role: Role; readonly node: string }[]): Promise<Credentials>;
  /** Writes the context file of one user. */
  writeContext(name: string, context: Record<string, string>): Promise<void>;
  /** Gives the lock back. The directory stays. */
  release(): Promise<void>;
  /** Removes the directory with everything in it, the lock last. */
  remove(): Promise<void>;
}

export interface Credentials {
  readonly users: readonly BrokerUser[];
  readonly system: { readonly user: string; readonly password: string };
}

/** `${XDG_DATA_HOME:-~/.local/share}/pilotlight/default`. */
export function defaultStore(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment["XDG_DATA_HOME"];
  const home = environment["HOME"] ?? homedir();
  return join(base !== undefined && isAbsolute(base) ? base : join(home, ".local", "share"), "pilotlight", "default");
}

/** A fresh directory for a form that leaves nothing behind. */
export function temporaryStore(): Promise<string> {
  return mkdtemp(join(tmpdir(), "pilotlight-"));
}

/** Step by step: the `recursive` of Node goes round for ever where a parent refuses with "no such file", as in /proc. */
async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; ; at = dirname(at)) {
    try {
      if (!(await stat(at)).isDirectory()) throw new Error(`${at} is no directory`);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      missing.unshift(at);
    }
  }
  for (const one of missing) {
    await mkdir(one, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
}

/** Makes the directory where needed and takes its lock. Rejects with Fault Conflict when a live process has it. */
export async function openStore(path: string): Promise<Store> {
  const directory = resolve(path);
  try {
    await makeDirectory(directory);
    for (const part of ["broker", "contexts", "logs", "run"]) {
      await makeDirectory(join(directory, part));
      await chmod(join(directory, part), 0o700);
    }
  } catch (error) {
    throw new Fault("BadRequest", `the store ${directory} cannot be made: ${(error as Error).message}`, undefined, error);
  }
  const lock = join(directory, "lock");
  await takeLock(lock, directory);
  const secretsFile = join(directory, "secrets.json");
  return {
    directory,
    broker: join(directory, "broker"),
    contexts: join(directory, "contexts"),
    logs: join(directory, "logs"),
    contextFile: (name) => join(directory, "contexts", `${name}.json`),
    async credentials(nodes) {
      const secrets = await readSecrets(secretsFile);
      const password = (user: string): string => (secrets[user] ??= randomBytes(24).toString("base64url"));
      const wanted = [{ role: "operator" as const, node: "operator" }, ...nodes, { role: "anonymous" as const, node: "anonymous" }];
      const users = wanted.map(({ role, node }) => ({ role, node, user: node, password: password(node) }));
      const system = { user: "system", password: password("system") };
      await replaceFile(secretsFile, JSON.stringify(secrets, undefined, 2));
      return { users, system };
    },
    writeContext: (name, context) => replaceFile(join(directory, "contexts", `${name}.json`), `${JSON.stringify(context, undefined, 2)}\n`),
    release: () => rm(lock, { force: true }),
    async remove() {
      for (const part of await readdir(directory)) {
        if (part !== "lock") await rm(join(directory, part), { recursive: true, force: true, maxRetries: 5 });
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What stands in a NATS context file for a user of this broker. */
export function contextOf(url: string, user: BrokerUser): Record<string, string> {
  return {
    description: `pilotlight, ${user.role}`,
    url,
    user: user.user,
    password: user.password,
    ...(user.role === "operator" && { inbox_prefix: OPERATOR_INBOX }),
  };
}

/** Writes a file that only its owner may read, whole or not at all. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  await writeFile(draft, content, { mode: 0o600 });
  await rename(draft, path);
}

async function readSecrets(path: string): Promise<Record<string, string>> {
  const found = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  try {
    const parsed: unknown = JSON.parse(found);
    if (typeof parsed === "object" && parsed !== null && Object.values(parsed).every((value) => typeof value === "string")) {
      return parsed as Record<string, string>;
    }
  } catch {
    // said below
  }
  throw new Fault("Conflict", `${path} is damaged; remove it and new credentials are made (old context files then stop working)`);
}

/** The lock is made by link(2), which fails when it is there; its content is complete from the first moment. */
async function takeLock(lock: string, directory: string): Promise<void> {
  const draft = `${lock}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const mine = { pid: process.pid, startedAt: await startedAt(process.pid) };
  await writeFile(draft, JSON.stringify(mine), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      try {
        await link(draft, lock);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = await holderOf(lock);
      if (holder !== undefined) {
        throw new Fault("Conflict", `the store ${directory} is in use by process ${holder}; stop that one, or give another with --store`);
      }
      await removeStale(lock, `${draft}.stale`);
    }
    throw new Fault("Conflict", `the lock of ${directory} is fought over; try again`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Renamed before it is removed: of two takers one gets it away, and one that was quicker and holds it by now gets it back. */
async function removeStale(lock: string, aside: string): Promise<void> {
  try {
    await rename(lock, aside);
    if ((await holderOf(aside)) !== undefined) await link(aside, lock);
  } catch {
    // Somebody else moved it, or has taken the place; the next attempt sees who.
  } finally {
    await rm(aside, { force: true });
  }
}

/** The live process that holds a lock; undefined for a lock that is gone, damaged or of a dead process. */
async function holderOf(lock: string): Promise<number | undefined> {
  try {
    const held = JSON.parse(await readFile(lock, "utf8")) as { pid?: unknown; startedAt?: unknown };
    const pid = Number(held.pid);
    const started = await startedAt(pid);
    return started !== undefined && started === held.startedAt ? pid : undefined;
  } catch {
    return undefined;
  }
}
