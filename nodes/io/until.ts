/** Waits for a condition with a deadline. */
import { setTimeout as pause } from "node:timers/promises";

/**
 * Asks `look` again and again until it gives something other than undefined; undefined itself when `limitMs` passed
 * or `stopped` says true first. What `look` throws is passed on.
 */
export async function until<T>(
  look: () => Promise<T | undefined> | T | undefined,
  limitMs: number,
  stopped: () => boolean = () => false,
): Promise<T | undefined> {
  const end = performance.now() + limitMs;
  for (let wait = 5; ; wait = Math.min(wait * 1.5, 100)) {
    const found = await look();
    if (found !== undefined) return found;
    if (stopped() || performance.now() >= end) return undefined;
    await pause(wait);
  }
}
