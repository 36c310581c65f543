/** Work that is done a few at a time: what comes when all places are taken waits in order, and when the waiting room is full is refused. */
import { Fault } from "../../../protocol/errors.ts";
import type { LIMITS } from "../../../protocol/limits.ts";

/**
 * Runs `work` when there is a place. Rejects with Fault Throttled, saying `what` waits, when `waiting` wait already; else as the work
 * does. `limit`: the row of the table of limits that says how many may wait.
 */
export function openGate(
  what: string,
  atOnce: number,
  waiting: number,
  limit?: keyof typeof LIMITS,
): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const queue: (() => void)[] = [];
  return async (work) => {
    if (running < atOnce) running++;
    else {
      if (queue.length >= waiting) throw new Fault("Throttled", `${waiting} ${what} wait already`, { retryAfterMs: 1_000, limit });
      // Whoever leaves hands its place on: `running` stays.
      await new Promise<void>((resolve) => queue.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
