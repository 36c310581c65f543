import test from "ava";
import { rendezvous } from "../../../actors/kit/rendezvous.ts";
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
  const grants: { subscriptions: number; epoch: number; keeper: string; full?: boolean | undefined }[] = [];
  const recalls: number[] = [];
  const epochs: (number | undefined)[] = [];
  const newer: { epoch?: number } = {};
  agent.serve(grantFunctions, ["h1"], ({ grants: given, leaderEpoch }) => {
    epochs.push(leaderEpoch);
    if (newer.epoch !== undefined && (leaderEpoch ?? 0) < newer.epoch) return { refused: [], fenced: newer.epoch };
    grants.push(...given);
    return { refused: [] };
  });
  const announce = (idle = 1, loading = 0) =>
    host.announce({
      instances: [instance({ usedMb: 128, slots: [{ key: "main.echo.1@128", idle, busy: 0, loading }] })],
      functions: [{ account: "main", function: "echo", calls: 1, meanRunMs: 1, queued: 0 }],
    });
  announce();
  await path.clock.advance(300);
  return { ...path, startScheduler: path.scheduler, scheduler, grants, recalls, epochs, newer, agent, announce };
}

test("a host with containers of a busy function is granted it, so often subscribed that frontends get at most a tenth", async (t) => {
  const { grants } = await granted();
  t.true(grants.length > 0);
  const subscriptions = grants[0]?.subscriptions ?? 0;
  t.true(1 / (1 + subscriptions) <= 0.1);
});

test("a grant says when no further container may be made, at once when that changes", async (t) => {
  const { grants, clock, announce } = await granted();
  t.is(grants.at(-1)?.full, false);
  announce(LIMITS.containersPerFunction.value);
  await clock.advance(300);
  t.is(grants.at(-1)?.full, true);
  announce(1);
  await clock.advance(300);
  t.is(grants.at(-1)?.full, false);
});

test("a host whose only containers of a function still load is granted nothing yet", async (t) => {
  const { grants, clock, announce } = await granted();
  announce(0, 1);
  await clock.advance(100);
  const before = grants.length;
  for (let step = 0; step < 10; step++) {
    await clock.advance(200);
    announce(0, 1);
  }
  t.is(grants.length, before);
  announce(1);
  await clock.advance(300);
  t.true(grants.length > before);
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

test("only the leader gives grants, also of functions that another keeps, and names their keeper", async (t) => {
  const { startScheduler, clock, announce, broker } = await granted();
  const ids = ["s2", "s3", "s4"];
  for (const id of ids) await startScheduler(id);
  const from = new Set<string>();
  broker.tap(({ from: node, subject }) => void (subject === "_pilot.agent.h1.grant" && from.add(node)));
  for (let step = 0; step < 40; step++) {
    await clock.advance(200);
    announce();
  }
  t.deepEqual([...from], ["scheduler-1"]);
});

test("the keeper of a function is named in its grant, whoever leads", async (t) => {
  const { startScheduler, clock, announce, grants } = await granted();
  t.is(grants.at(-1)?.keeper, "scheduler-1");
  const other = Array.from({ length: 50 }, (_, nth) => `s${nth}`).find((id) => rendezvous("main.echo", ["scheduler-1", id]) === id) ?? "";
  await startScheduler(other);
  for (let step = 0; step < 12; step++) {
    await clock.advance(200);
    announce();
  }
  t.is(grants.at(-1)?.keeper, other);
});

test("a host is told who leads before it has anything to be granted, again when it begins anew, and now and then", async (t) => {
  const path = await openCallPath();
  const scheduler = await path.scheduler();
  const host = path.host();
  const agent = new MemoryBus(path.broker, "h1-agent");
  const told: (number | undefined)[] = [];
  agent.serve(grantFunctions, ["h1"], ({ grants, leaderEpoch }) => {
    t.is(grants.length, 0);
    told.push(leaderEpoch);
    return { refused: [] };
  });
  const wait = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 500) {
      host.announce();
      await path.clock.advance(500);
    }
  };
  await wait(1_000);
  t.is(told.length, 1);
  host.epoch = "e2";
  await wait(1_000);
  t.is(told.length, 2);
  await wait(LIMITS.leaseLife.value);
  t.is(told.length, 3);
  t.is(new Set(told).size, 1);
  t.truthy(told[0]);
  await scheduler.drain();
});

test("a leader that a host refuses leads no more, and gives its lease back", async (t) => {
  const { epochs, newer, clock, announce, lease, scheduler, grants } = await granted();
  newer.epoch = 1_000;
  for (let step = 0; step < 10; step++) {
    await clock.advance(200);
    announce();
  }
  t.true((epochs.at(-1) ?? 0) > 0);
  t.is(lease.holder("busy"), undefined);
  t.is(scheduler.inspect().actors.find(({ id }) => id === "manager/busy")?.state, "standby");
  const before = grants.length;
  await clock.advance(1_000);
  t.is(grants.length, before);
});

test("a deploy of one function recalls no grant of another one of its account", async (t) => {
  const { agent, clock, broker, deploy, buckets, announce } = await granted();
  const recalled: string[] = [];
  agent.serve(recallGrant, ["h1"], ({ function: name }) => {
    recalled.push(name);
    return {};
  });
  const operator = new MemoryBus(broker, "operator");
  await deploy("other");
  const sync = async (name: string, containers: number) => {
    await buckets.accounts.put("main", account({ containers }));
    const stored = await buckets.functions.get(`main.${name}`);
    const revision = (await buckets.accounts.get("main"))?.revision ?? 0;
    const change = { function: stored && { key: `main.${name}`, revision: stored.revision, record: stored.value } };
    await Promise.all([
      operator.ask(syncNode, ["scheduler-1"], { ...change, account: { key: "main", revision, record: account({ containers }) } } as never),
      clock.advance(1_000),
    ]);
  };
  // Until what a leader before it may have given has run out.
  for (let passed = 0; passed < LIMITS.grantLife.value; passed += 500) {
    await clock.advance(500);
    announce();
  }
  await sync("other", 1_000);
  t.deepEqual(recalled, []);
  await sync("other", 2);
  t.deepEqual(recalled, ["echo"]);
});
