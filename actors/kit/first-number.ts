/** Where a node begins to number its calls. */
import type { Random } from "./ports.ts";

const RANGE = 2 ** 31;

/**
 * A whole number from 1 on, at random. A node that starts again under its old name still hears reports of its predecessor's
 * calls: were both to count from 1, it would take them for news of its own.
 */
export function firstNumber(random: Pick<Random, "next">): number {
  return 1 + Math.floor(random.next() * RANGE);
}
