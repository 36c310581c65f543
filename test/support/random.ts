/** Randomness from a seed: the same test run makes the same choices. */
import type { Random } from "../../actors/kit/ports.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** The mulberry32 generator; any integer is a seed. */
export function seededRandom(seed = 1): Random {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const letter = (): string => LETTERS.charAt(Math.floor(next() * LETTERS.length));
  return { next, id: (length) => Array.from({ length }, letter).join("") };
}
