/**
 * A directory that belongs to one process at a time.
 *
 * T1  Its lock names a live process; a lock of a dead one is taken over.
 * T3  A file in it is replaced whole, so that a reader never sees half of one.
 */
import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Fault } from "../../protocol/errors.ts";
import { startedAt } from "./process-identity.ts";

export interface OwnDirectory {
  /** Absolute. */
  readonly path: string;
  /** Gives the lock back. The directory stays. */
  release(): Promise<void>;
  /** Removes the directory with everything in it, the lock last. */
  remove(): Promise<void>;
}

/**
 * Makes the directory and these parts of it where needed, and takes its lock. `what` it is and `advice` for one that is in use are for people.
 * Rejects with Fault Conflict when a live process has it, BadRequest when it cannot be made.
 */
export async function openDirectory(path: string, parts: readonly string[], what: string, advice: string): Promise<OwnDirectory> {
  const directory = resolve(path);
  try {
    await makeDirectory(directory);
    for (const part of parts) {
      await makeDirectory(join(directory, part));
      await chmod(join(directory, part), 0o700);
    }
  } catch (error) {
    throw new Fault("BadRequest", `${what} ${directory} cannot be made: ${(error as Error).message}`, undefined, error);
  }
  const lock = join(directory, "lock");
  await takeLock(lock, `${what} ${directory}`, advice);
  return {
    path: directory,
    release: () => rm(lock, { force: true }),
    async remove() {
      for (const part of await readdir(directory)) {
        if (part !== "lock") await rm(join(directory, part), { recursive: true, force: true, maxRetries: 5 });
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Writes a file that only its owner may read, whole or not at all. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  await writeFile(draft, content, { mode: 0o600 });
  await rename(draft, path);
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

/** The lock is made by link(2), which fails when it is there; its content is complete from the first moment. */
async function takeLock(lock: string, directory: string, advice: string): Promise<void> {
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
        throw new Fault("Conflict", `${directory} is in use by process ${holder}; ${advice}`);
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
