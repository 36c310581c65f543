/**
 * Ctrl-C while a call is under way ends the run and not only the wait for it.
 *
 * I1  A reply that comes before the cancel has reached the call is the answer, as without Ctrl-C.
 * I2  The subject on which the caller waits names the call: everybody who has the call knows it, on every path, and no
 *     header has to be sent that would keep the call from the direct one. No right is needed.
 */
import type { Caller } from "../nodes/io/caller.ts";
import { LIMITS } from "../protocol/limits.ts";
import { type Cli, note } from "./context.ts";
import { Interrupted } from "./failure.ts";
import { whenInterrupted } from "./platform.ts";

/** A call that may be interrupted. */
export interface Interruptible<T> {
  readonly caller: Caller;
  readonly account: string;
  readonly call: Promise<T>;
  /** The subject of its reply; empty until it is sent. */
  reply(): string;
}

/** The call's own end. After Ctrl-C it asks for the run to be ended, and rejects with Interrupted, which says whether it was. */
export async function cancelledByInterrupt<T>(cli: Cli, { caller, account, call, reply }: Interruptible<T>): Promise<T> {
  let over = false;
  const ended = call.then(
    () => void (over = true),
    () => void (over = true),
  );
  await Promise.race([ended, whenInterrupted(cli)]);
  if (over) return call;
  if (reply() === "") {
    call.catch(() => undefined);
    throw new Interrupted("interrupted; the call was not sent");
  }
  note(cli, "pilot: cancelling the call; once more to leave at once");
  const { cancelRun } = await import("../nodes/io/cancel.ts");
  const { cancelled, problem } = await cancelRun(caller, account, reply(), () => over);
  if (cancelled) await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, LIMITS.cancelWait.value).unref())]);
  if (!over) {
    // Whatever it will say, nobody waits for it.
    call.catch(() => undefined);
    if (cancelled) throw new Interrupted("interrupted; the call was cancelled");
    const why = problem === undefined ? "nobody has it" : problem.message;
    throw new Interrupted(`interrupted; the call could not be cancelled (${why}) and ends at its time limit at the latest`);
  }
  return call.catch((thrown: unknown) => {
    throw cancelled ? new Interrupted("interrupted; the call was cancelled") : thrown;
  });
}
