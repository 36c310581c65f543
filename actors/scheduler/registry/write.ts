/** Changing a stored record so that of two writers at once neither loses its change. */

import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Bucket, Stored } from "../../kit/ports.ts";

/**
 * Reads the record, makes the next one of it and writes that if nobody changed it meanwhile, else begins again. `next` may
 * throw to refuse, and runs once per try. Faults: Conflict after LIMITS.registryAttempts tries, and the bucket's own; after
 * Unavailable the write may or may not have happened.
 */
export async function change<T>(bucket: Bucket<T>, key: string, next: (now: T | undefined) => T | Promise<T>): Promise<Stored<T>> {
  return retried(key, async () => {
    const stored = await bucket.get(key);
    const value = await next(stored?.value);
    const revision = stored ? await bucket.update(key, value, stored.revision) : await bucket.create(key, value);
    return { key, value, revision };
  });
}

/** Repeats `attempt` while it ends in Conflict, LIMITS.registryAttempts times at most. */
export async function retried<R>(key: string, attempt: () => Promise<R>): Promise<R> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (thrown) {
      if (!isConflict(thrown)) throw thrown;
      if (tries >= LIMITS.registryAttempts.value) {
        throw new Fault("Conflict", `${key} was changed by others ${tries} times in a row`, undefined, thrown);
      }
    }
  }
}

export const isConflict = (thrown: unknown): boolean => thrown instanceof Fault && thrown.name === "Conflict";
