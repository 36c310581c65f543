/** A caller ends its own call: by the subject on which it waits, which names the call on every path. No right is needed. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Caller } from "./caller.ts";
import { until } from "./until.ts";

/** What became of a cancel. */
export interface CancelOutcome {
  /** True: the platform had the call and ended it; its caller hears Cancelled. */
  readonly cancelled: boolean;
  /** Why it could not be asked, where that was so. */
  readonly problem: Fault | undefined;
}

/**
 * Asks for the end of the call whose reply comes to `reply`, for LIMITS.cancelWait at most, again and again, since the call may still
 * be on its way to whoever is to run it. `over` says that it has ended by itself. Never rejects.
 */
export async function cancelRun(caller: Caller, account: string, reply: string, over: () => boolean): Promise<CancelOutcome> {
  const body = new TextEncoder().encode(reply);
  let problem: Fault | undefined;
  const cancelled = await until(
    async () => {
      try {
        const answer = await caller.call(SUBJECT.cancel(account), body, { timeoutMs: LIMITS.cancelWait.value });
        problem = undefined;
        return (JSON.parse(new TextDecoder().decode(answer.body)) as { cancelled?: unknown }).cancelled === true ? true : undefined;
      } catch (thrown) {
        problem = Fault.from(thrown);
        return undefined;
      }
    },
    LIMITS.cancelWait.value,
    over,
  );
  return { cancelled: cancelled === true, problem };
}
