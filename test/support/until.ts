/** Waiting for a condition instead of sleeping. */
import { setTimeout as pause } from "node:timers/promises";

/**
 * Asks `condition` again and again until it gives something other than undefined, null or false, and returns that.
 * Throws an error that says `what` was waited for when `deadlineMs` have passed; what `condition` throws counts as "not yet"
 * and is the cause of that error.
 */
export async function until<T>(
  condition: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  what: string,
  deadlineMs = 5_000,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    let cause: unknown;
    try {
      const found = await condition();
      if (found !== undefined && found !== null && found !== false) return found;
    } catch (thrown) {
      cause = thrown;
    }
    if (performance.now() >= end) throw new Error(`${deadlineMs} ms passed without ${what}`, { cause });
    await pause(wait);
  }
}
