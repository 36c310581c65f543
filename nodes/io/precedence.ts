/**
 * The platform's own processes go before the functions they serve: a hundred functions in endless loops must leave the
 * broker and the host agent enough of the processor to end them.
 */
import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";

/** About nine times the weight of an ordinary process. */
const AHEAD = -10;
/** About three times the weight of an ordinary session. With more, nodes wake for each message that their callers send, instead of for several. */
const SESSION_AHEAD = -5;

/**
 * Gives a process that leads a session of its own precedence, where this process has the right to; elsewhere everybody stays equal.
 * Where the kernel shares the processor out by sessions first (sched_autogroup), a process's own priority counts among its session
 * only; so the session gets it too.
 */
export function goesFirst(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, AHEAD);
    writeFileSync(`/proc/${pid}/autogroup`, String(SESSION_AHEAD));
  } catch {
    // Not root, or gone already, or a kernel without such groups.
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
