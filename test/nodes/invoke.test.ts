/** A call as the clients of this package make it, on a caller that obeys the test. */
import test from "ava";
import type { CallReply, OwnCaller } from "../../nodes/io/caller.ts";
import { openInvoker } from "../../nodes/io/invoke.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT } from "../../protocol/limits.ts";

/** Stores whatever is put; the call itself ends as `outcome` says. */
function callerThat(outcome: () => Promise<CallReply>) {
  const verbs: string[] = [];
  const caller: Pick<OwnCaller, "call" | "drop"> = {
    call(subject) {
      const [, tree = "", , verb = ""] = subject.split(".");
      if (tree === "fn") return outcome();
      if (tree === "body" && verbs.at(-1) !== verb) verbs.push(verb);
      return Promise.resolve({ body: new Uint8Array(), headers: {} });
    },
    drop: () => undefined,
  };
  return { caller, verbs };
}

const nameOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "",
    (thrown: unknown) => Fault.from(thrown).name,
  );

test("a large body leaves the store when its call was refused or never sent, and stays while something may run", async (t) => {
  const body = new Uint8Array(BODY_LIMIT + 1);
  for (const [fault, verbs] of [
    [new Fault("FunctionNotFound", "answered", { headers: {} }), ["put", "drop"]],
    [new Fault("Unavailable", "nobody listens", { undelivered: true }), ["put", "drop"]],
    [new Fault("Unavailable", "no reply came in time", { overdue: true }), ["put"]],
  ] as const) {
    const { caller, verbs: seen } = callerThat(() => Promise.reject(fault));
    const invoker = openInvoker({ caller });
    await nameOf(invoker.invoke({ account: "main", callee: { name: "echo" }, body }));
    t.deepEqual(seen, verbs, fault.message);
  }
});
