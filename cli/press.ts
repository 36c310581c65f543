/** Tells a second Ctrl-C from the first one heard twice: the terminal sends it to the whole group, and npm and npx pass it on as well. */
import { LIMITS } from "../protocol/limits.ts";

/** Call it at each signal; `now` in ms. */
export function presses(now: () => number = () => performance.now()): () => "first" | "same" | "again" {
  let first: number | undefined;
  return () => {
    if (first === undefined) {
      first = now();
      return "first";
    }
    return now() - first <= LIMITS.samePress.value ? "same" : "again";
  };
}
