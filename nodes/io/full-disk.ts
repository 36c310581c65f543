/** A disk without room: told apart from other errors, and waited for where nothing else can be done. */
import { setTimeout as pause } from "node:timers/promises";
import type { Log } from "../../actors/kit/ports.ts";
import { LIMITS } from "../../protocol/limits.ts";

const CODES: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);

/** True where an error, or what caused it, is that there is no room: for bytes, for files, or in a quota. */
export function isFull(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if ("code" in at && CODES.has(at.code)) return true;
  return false;
}

/** Does it, and again every LIMITS.diskLook for as long as the disk has no room for it. Rejects with any other error. */
export async function whenRoom<T>(work: () => Promise<T>, log: Log): Promise<T> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await work();
    } catch (error) {
      if (!isFull(error)) throw error;
      if (isFirst) log.warn("the disk is full; it waits for room", { error: error instanceof Error ? error.message : String(error) });
      await pause(LIMITS.diskLook.value);
    }
  }
}
