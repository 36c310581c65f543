import test from "ava";
import { termsOf } from "../../../actors/scheduler/grants.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { grantFunctions, recallGrant } from "../../../protocol/messages/host.ts";
import { syncNode } from "../../../protocol/messages/sync.ts";
import type { AccountRecord, FunctionRecord } from "../../../protocol/vocabulary.ts";
import { openCallPath } from "../../support/call-path.ts";
import { instance } from "../../support/fleet.ts";
import { MemoryBus } from "../../support/memory-bus.ts";

const record = (change: Partial<FunctionRecord> = {}, settings: Partial<FunctionRecord["settings"]> = {}): FunctionRecord => ({
  account: "main",
  name: "echo",
  settings: { memoryMb: 128, timeoutMs: 1_000, keepAliveMs: 1_000, direct: true, idempotent: false, containers: 10, ...settings },
  aliases: { live: [{ version: 2, weight: 100 }] },
  newest: 2,
  versions: [1, 2],
  createdAt: 0,
  changedAt: 0,
  ...change,
});
const account = (change: Partial<AccountRecord> = {}): AccountRecord => ({
  name: "main",
  containers: 5,
  active: true,
  createdAt: 0,
  ...change,
});

test("only a function whose calls need no decision is granted", (t) => {
  t.truthy(termsOf(record(), account(), true));
  t.is(termsOf(record(), account(), false), undefined);
  t.is(termsOf(record({}, { direct: false }), account(), true), undefined);
  t.is(termsOf(record({}, { class: "rare" }), account(), true), undefined);
  t.truthy(termsOf(record({}, { class: "busy" }), account(), false));
  t.is(
    termsOf(
      record({
        aliases: {
          live: [
            { version: 1, weight: 50 },
            { version: 2, weight: 50 },
          ],
        },
      }),
      account(),
      true,
    ),
    undefined,
  );
  t.is(termsOf(record({ aliases: {} }), account(), true), undefined);
  t.is(termsOf(record(), account({ active: false }), true), undefined);
  t.is(termsOf(record(), account({ memoryMb: 64 }), true), undefined);
});

test("F006 a grant carries the account's bounds", (t) => {
  const terms = termsOf(record(), account({ timeoutMs: 200, containers: 3 }), true);
  t.is(terms?.timeoutMs, 200);
  t.is(terms?.containers, 3);
});

async function granted() {
  const path = await openCallPath();
  const scheduler = await path.scheduler();
  await path.frontend();
  await path.deploy("echo", { class: "busy" });
  const host = path.host();
  const agent = new MemoryBus(path.broker, "h1-agent");
  const grants: { subscriptions: number; epoch: number }[] = [];
  const recalls: number[] = [];
  agent.serve(grantFunctions, ["h1"], ({ grants: given }) => {
    grants.push(...given);
    return { refused: [] };
  });
  const announce = () =>
    host.announce({
      instances: [instance({ usedMb: 128, slots: [{ key: "main.echo.1@128", idle: 1, busy: 0, loading: 0 }] })],
      functions: [{ account: "main", function: "echo", calls: 1, meanRunMs: 1, queued: 0 }],
    });
  announce();
  await path.clock.advance(300);
  return { ...path, scheduler, grants, recalls, agent, announce };
}

test("a host with containers of a busy function is granted it, so often subscribed that frontends get at most a tenth", async (t) => {
  const { grants } = await granted();
  t.true(grants.length > 0);
  const subscriptions = grants[0]?.subscriptions ?? 0;
  t.true(1 / (1 + subscriptions) <= 0.1);
});

test("a grant is renewed before it runs out, and not much more often", async (t) => {
  const { grants, clock, announce } = await granted();
  const before = grants.length;
  for (let step = 0; step < 30; step++) {
    await clock.advance(200);
    announce();
  }
  const renewals = grants.length - before;
  t.true(renewals >= 6_000 / LIMITS.grantLife.value && renewals <= 2 * (6_000 / LIMITS.grantRenewal.value), `${renewals}`);
});

test("a change of the function is acknowledged only when the host has left the desk", async (t) => {
  const { agent, broker, clock, grants } = await granted();
  let leave: () => void = () => undefined;
  agent.serve(recallGrant, ["h1"], () => new Promise<Record<string, never>>((resolve) => (leave = () => resolve({}))));
  const operator = new MemoryBus(broker, "operator");
  let acknowledged = false;
  const epoch = (grants.at(-1)?.epoch ?? 0) + 1;
  // The contract's record but for readonly.
  const changed = record({ newest: 1, versions: [1], aliases: { live: [{ version: 1, weight: 100 }] } }) as never;
  const sync = operator.ask(syncNode, ["scheduler-1"], { function: { key: "main.echo", revision: epoch, record: changed } });
  void sync.then(() => (acknowledged = true));
  await clock.advance(200);
  t.false(acknowledged);
  const during = grants.length;
  leave();
  await clock.settle();
  t.true(acknowledged);
  t.is(grants.length, during);
});

test("a host that cannot be reached for a recall is waited for until its grant has run out", async (t) => {
  const { broker, clock, grants } = await granted();
  const operator = new MemoryBus(broker, "operator");
  let acknowledged = false;
  const sync = operator.ask(
    syncNode,
    ["scheduler-1"],
    { function: { key: "main.echo", revision: (grants.at(-1)?.epoch ?? 0) + 1, record: null } },
    20_000,
  );
  void sync.then(() => (acknowledged = true));
  await clock.advance(1_000);
  t.false(acknowledged);
  await clock.advance(LIMITS.grantLife.value);
  t.true(acknowledged);
});
