/**
 * The platform's own processes go before the functions they serve: a hundred functions in endless loops must leave the
 * broker and the host agent enough of the processor to end them.
 */
import { setPriority } from "node:os";

/** About nine times the weight of an ordinary process. */
const AHEAD = -10;

/** Gives a process precedence where this process has the right to; elsewhere everybody stays equal. */
export function goesFirst(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, AHEAD);
  } catch {
    // Not root, or gone already.
  }
}

/** Gives precedence up again: for what starts the functions' processes, which inherit it. */
export function goesAsOthers(): void {
  try {
    setPriority(0);
  } catch {
    // It had none.
  }
}
