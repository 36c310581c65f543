/** Names of signals by their numbers, as the kernel tells them. */
import { constants } from "node:os";

// Some numbers have two names: the first is the usual one.
const NAMES = new Map<number, string>(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

/** "SIGSEGV" for 11; undefined for what is no signal here. */
export function signalName(number: number): string | undefined {
  return NAMES.get(number);
}
