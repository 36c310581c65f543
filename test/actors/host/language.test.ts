/** Which warm instance an order gets where the pool has several kinds. */
import test from "ava";
import type { PoolTarget } from "../../../protocol/vocabulary.ts";
import { rig } from "./rig.ts";

const NODE: PoolTarget = { runtime: "node", memoryMb: 1_024, warm: 2 };
const PYTHON: PoolTarget = { runtime: "python", memoryMb: 1_024, warm: 1 };

for (const [first, pools] of [
  ["node", [NODE, PYTHON]],
  ["python", [PYTHON, NODE]],
] as const) {
  test(`F019 F021 of a pool that boots ${first} first, each order takes an instance of its code's language, and none of another when that is gone`, async (t) => {
    const r = await rig(t, { runtimes: { node: "node 20.20.2", python: "python 3.11.2" }, pools });
    for (const account of ["main", "other"]) r.versions.set(`${account}.echo.7`, { runtime: "python" });
    t.deepEqual(r.instances.map(({ runtime, state }) => `${runtime} ${state}`).sort(), ["node warm", "node warm", "python warm"]);
    const python = r.call("echo", "warm", "p", { version: 7 });
    const late = r.call("echo", "warm", "l", { version: 7, account: "other" });
    const node = r.call("echo", "warm", "n", { account: "third" });
    await r.clock.settle();
    t.is(late.refused, "no-instance");
    t.deepEqual([python.reply.body, node.reply.body], ["p", "n"]);
    const runtimeOf = (id: string | undefined) => r.instances.find((instance) => instance.id === id)?.runtime;
    t.is(runtimeOf(python.reply.header("Pilot-Instance")), "python");
    t.is(runtimeOf(node.reply.header("Pilot-Instance")), "node");
    await r.clock.advance(100);
    t.deepEqual(
      r.instances
        .filter(({ state }) => state === "warm")
        .map(({ runtime }) => runtime)
        .sort(),
      ["node", "node", "python"],
    );
  });
}
