/**
 * A bucket's records in memory, fed by its watch and by whoever knows something newer.
 *
 * M1  Revisions count through the whole bucket and the watch brings them in order: what is not above the last watched one is known already.
 * M2  Of what came in ahead of the watch the revision is kept, also of removals, until the watch has passed it.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Bucket } from "./ports.ts";

export interface Mirror<T> {
  get(key: string): T | undefined;
  values(): Iterable<T>;
  /** Revision of the record that `get` gives; undefined when there is none. */
  revision(key: string): number | undefined;
  /** Takes a record (undefined: removed) that was learned otherwise; one that is not newer than what is known is ignored. */
  apply(key: string, value: T | undefined, revision: number): void;
  stop(): void;
}

/** Resolves when all present records are in; `changed` is called for those too. Rejects with the bucket's Fault. */
export async function mirror<T>(bucket: Bucket<T>, changed: (key: string, value: T | undefined) => void): Promise<Mirror<T>> {
  const records = new Map<string, T>();
  const revisions = new Map<string, number>();
  const ahead = new Map<string, number>();
  let watched = 0;
  const put = (key: string, value: T | undefined, revision: number): void => {
    if (value !== undefined) {
      records.set(key, value);
      revisions.set(key, revision);
    } else {
      revisions.delete(key);
      if (!records.delete(key)) return;
    }
    changed(key, value);
  };
  const watch = await bucket.watch((key, value, revision) => {
    watched = Math.max(watched, revision);
    const known = ahead.get(key);
    if (known !== undefined && known >= revision) {
      if (known === revision) ahead.delete(key);
      return;
    }
    ahead.delete(key);
    put(key, value, revision);
  });
  return {
    get: (key) => records.get(key),
    values: () => records.values(),
    revision: (key) => revisions.get(key),
    apply(key, value, revision) {
      if (revision <= watched || revision <= (ahead.get(key) ?? 0)) return;
      ahead.delete(key);
      ahead.set(key, revision);
      for (const [oldest, at] of ahead) {
        if (at > watched && ahead.size <= LIMITS.absentNames.value) break;
        ahead.delete(oldest);
      }
      put(key, value, revision);
    },
    stop: () => watch.stop(),
  };
}
