/** Whatever happens in whatever order: every call has one outcome, and nothing is left over. */
import test from "ava";
import fc from "fast-check";
import { LIMITS } from "../../../protocol/limits.ts";
import type { FakeProgram } from "../../../runtimes/fake/program.ts";
import { Rig, type Sent } from "./rig.ts";

const forever = new Promise<never>(() => undefined);

const programs: Record<string, FakeProgram> = {
  exits: {
    async run(_, context) {
      await context.sleep(3);
      context.exit(1);
      return forever;
    },
  },
  hungry: {
    run(_, context) {
      context.useMemory(10_000);
      return forever;
    },
  },
  broken: { loadMs: 5, loadError: { type: "SyntaxError", message: "no" }, run: () => null },
  slow: { loadMs: 40, run: (body) => body.slice() },
};

// Few names, so that calls meet.
const names = fc.constantFrom("sleep", "sleep", "sleep", "echo", "echo", "hang", "throw", "exits", "hungry", "broken", "slow");
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("order" as const),
      name: names,
      rung: fc.constantFrom("hot", "hot", "hot", "cached", "own", "warm", "warm", "cold" as const),
      account: fc.constantFrom("main", "main", "main", "other"),
      memoryMb: fc.constantFrom(128, 128, 128, 900),
      waitMs: fc.constantFrom(0, 50, 3_000),
      which: fc.nat(5),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("direct" as const), name: fc.constantFrom("sleep", "echo", "slow") }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("grant" as const), name: names, epoch: fc.constant(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("recall" as const), name: names, epoch: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(0, 1, 10, 35, 300) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("spawner" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("boots" as const), fail: fc.boolean() }) },
);

test("every call gets exactly one reply or one refusal, every taken call is reported done, and memory and instances return", async (t) => {
  t.timeout(60_000);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      const r = new Rig({ memoryMb: 4_000, pools: [{ runtime: "node", memoryMb: 1_024, warm: 3 }] }, programs, {});
      r.withDesk();
      r.withKeeper();
      const orders: Sent[] = [];
      const directs: { readonly sent: Sent; readonly granted: boolean }[] = [];
      await r.warmed();
      for (const act of steps) {
        if (act.kind === "order") {
          const active = r.active.filter(({ account }) => account === act.account);
          const instance = active[act.which % Math.max(1, active.length)]?.id;
          const place = {
            rung: act.rung,
            by: act.which % 2 === 0 ? ("keeper" as const) : ("frontend" as const),
            ...(instance !== undefined && { instance }),
          };
          const { account, memoryMb, waitMs } = act;
          orders.push(r.order(r.head(act.name, { account, memoryMb, waitMs, timeoutMs: 100, keepAliveMs: 200, place }), "5"));
        } else if (act.kind === "direct") {
          const granted = r.host.describe().grants.some((grant) => grant.function === act.name);
          directs.push({ sent: r.direct(act.name, "5"), granted });
        } else if (act.kind === "grant") await r.grant(act.name, { epoch: act.epoch, timeoutMs: 100, keepAliveMs: 200 });
        else if (act.kind === "recall") await r.recall(act.name, act.epoch);
        else if (act.kind === "advance") await r.clock.advance(act.ms);
        else if (act.kind === "spawner") r.sandbox.loseSpawner();
        else r.sandbox.failBoot = () => (act.fail ? "no" : undefined);
      }
      await r.clock.settle();
      r.sandbox.failBoot = () => undefined;
      await r.clock.advance(LIMITS.boot.value + LIMITS.load.value + 5_000);

      for (const sent of orders) t.is(sent.replies.length + sent.refusals.length, 1, sent.id);
      const handed = r.toDesk.length + r.toKeeper.length;
      t.true(directs.filter(({ sent, granted }) => granted && sent.replies.length === 0).length <= handed);
      for (const { sent } of directs) t.true(sent.replies.length <= 1);
      const sum = (key: "taken" | "done" | "placedTaken" | "placedDone"): number =>
        r.reports.reduce((total, report) => total + report[key].length, 0);
      t.is(sum("taken"), orders.filter(({ replies }) => replies.length === 1).length);
      t.is(sum("done"), sum("taken"));
      t.is(sum("placedDone"), sum("placedTaken"));
      t.deepEqual(
        r.instances.map(({ state, usedMb, containers }) => ({ state, usedMb, containers: containers.length })),
        Array.from({ length: 3 }, () => ({ state: "warm", usedMb: 0, containers: 1 })),
      );
      t.is(r.host.describe().usedMb, 3 * LIMITS.boxMemory.value);
      t.deepEqual(
        r.log.find("error").filter(({ message }) => !message.includes("spawner")),
        [],
      );
      t.deepEqual(r.bus.caught, []);
      t.deepEqual(r.control.caught, []);
      await r.settled(r.host.close());
      t.is(r.sandbox.containers.length, 0);
    }),
    { numRuns: 60 },
  );
});
