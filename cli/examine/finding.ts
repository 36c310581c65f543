/** What a check found: a verdict, what was seen, and unless all is well what to do. */
import { Fault } from "../../protocol/errors.ts";
import { Interrupted } from "../failure.ts";

export type Verdict = "ok" | "warn" | "fail";

export interface Finding {
  readonly check: string;
  readonly verdict: Verdict;
  readonly detail: string;
  /** What to do; absent when all is well. */
  readonly next?: string;
}

export const ok = (check: string, detail: string): Finding => ({ check, verdict: "ok", detail });
export const warn = (check: string, detail: string, next: string): Finding => ({ check, verdict: "warn", detail, next });
export const fail = (check: string, detail: string, next: string): Finding => ({ check, verdict: "fail", detail, next });

/**
 * One check with a deadline: whatever it throws, or that it hangs, is a finding of its own and ends no other check. Only
 * Interrupted is passed on.
 */
export async function checked(check: string, limitMs: number, next: string, run: () => Promise<Finding>): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => resolve(fail(check, `hangs: no end within ${limitMs / 1_000} s`, next)), limitMs);
  });
  try {
    return await Promise.race([run(), late]);
  } catch (thrown) {
    if (thrown instanceof Interrupted) throw thrown;
    const fault = Fault.from(thrown);
    return fail(check, `${fault.name}: ${fault.message}`, next);
  } finally {
    clearTimeout(timer);
  }
}
