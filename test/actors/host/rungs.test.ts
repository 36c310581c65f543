import test from "ava";
import { rig } from "./rig.ts";

test("F014 F023 a call ordered on the warm rung takes a warm instance, which then belongs to the account, and the pool refills", async (t) => {
  const r = await rig(t);
  t.deepEqual(
    r.instances.map(({ state, account }) => ({ state, account })),
    [{ state: "warm", account: null }],
  );
  const sent = r.call("echo", "warm", "hi");
  await r.clock.settle();
  t.is(sent.reply.body, "hi");
  t.is(sent.reply.header("Pilot-Rung"), "warm");
  t.is(r.active.length, 1);
  t.is(r.active[0]?.account, "main");
  await r.clock.advance(100);
  t.is(r.instances.filter(({ state }) => state === "warm").length, 1);
});

test("F011 the second call on the hot rung runs in the same container", async (t) => {
  const r = await rig(t);
  const first = r.call("echo", "warm", "1");
  await r.clock.settle();
  const second = r.call("echo", "hot", "2");
  await r.clock.settle();
  t.is(second.reply.body, "2");
  t.is(second.reply.header("Pilot-Rung"), "hot");
  t.is(second.reply.header("Pilot-Container"), first.reply.header("Pilot-Container"));
});

test("F012 F022 cached makes a second container on the instance and downloads nothing", async (t) => {
  const r = await rig(t);
  const first = r.call("sleep", "warm", "200");
  await r.clock.advance(100);
  const instance = r.active[0]?.id;
  const second = r.call("sleep", "cached", "50", {}, instance);
  await r.clock.advance(150);
  t.is(first.reply.body, "slept");
  t.is(second.reply.header("Pilot-Rung"), "cached");
  t.is(second.reply.header("Pilot-Instance"), instance);
  t.not(second.reply.header("Pilot-Container"), first.reply.header("Pilot-Container"));
  t.is(r.downloads.length, 1);
});

test("F013 own puts another function of the account on its instance, with one download", async (t) => {
  const r = await rig(t);
  r.call("echo", "warm", "1");
  await r.clock.advance(50);
  const instance = r.active[0]?.id;
  const sent = r.call("sleep", "own", "1", {}, instance);
  await r.clock.advance(50);
  t.is(sent.reply.header("Pilot-Rung"), "own");
  t.is(sent.reply.header("Pilot-Instance"), instance);
  t.is(r.downloads.length, 2);
});

test("F015 cold boots an instance of the size that was asked for", async (t) => {
  const r = await rig(t, { pools: [] });
  const head = r.head("echo", { place: { rung: "cold", by: "keeper", instanceMb: 2_048, coldCause: "first" } });
  const sent = r.order(head, "x");
  await r.clock.advance(20);
  t.is(sent.replies.length, 0);
  await r.clock.advance(20);
  t.is(sent.reply.header("Pilot-Rung"), "cold");
  t.is(sent.reply.header("Pilot-Cold-Cause"), "first");
  t.is(r.active[0]?.memoryMb, 2_048);
  t.true(r.sandbox.orders[0]?.urgent);
  const life = r.host.inspect().actors.find(({ id }) => id === `instance/${r.active[0]?.id}`);
  t.like(life?.transitions.at(-1), { from: "booting", to: "active", reason: "for account main, class rare" });
});

test("F025 of a call that waits and a container that is made for another, whichever is free first serves first, as hot", async (t) => {
  const r = await rig(t, { sparesPerInstance: 0 });
  const first = r.call("sleep", "warm", "10");
  await r.clock.settle();
  const second = r.call("sleep", "cached", "10", {}, r.active[0]?.id);
  await r.clock.advance(25);
  t.is(first.reply.body, "slept");
  t.is(second.reply.header("Pilot-Rung"), "hot");
  await r.clock.advance(50);
  t.is(r.active[0]?.containers.length, 2);
});

test("F017 two accounts get disjoint instances, and an order for another account's instance is refused", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] });
  const one = r.call("echo", "warm", "1");
  const two = r.call("echo", "warm", "2", { account: "other" });
  await r.clock.settle();
  t.not(one.reply.header("Pilot-Instance"), two.reply.header("Pilot-Instance"));
  const thief = r.call("echo", "own", "3", { account: "other", function: "sleep" }, one.reply.header("Pilot-Instance"));
  await r.clock.settle();
  t.is(thief.refused, "no-room");
});

test("F016 F059 an instance without room refuses, and no container is smaller than what was asked for", async (t) => {
  const r = await rig(t);
  r.call("sleep", "warm", "500", { memoryMb: 600 });
  await r.clock.advance(50);
  const [instance] = r.active;
  const big = r.call("echo", "own", "1", { memoryMb: 600 }, instance?.id);
  await r.clock.settle();
  t.is(big.refused, "no-room");
  t.is(instance?.containers.find(({ state }) => state !== "spare")?.memoryMb, 600);
});

test("F060 a container's cpu is the same share of its instance as its memory", async (t) => {
  const r = await rig(t);
  const sent = r.call("echo", "warm", "1");
  await r.clock.settle();
  t.is(sent.reply.header("Pilot-Cpu"), "0.125");
  const container = r.sandbox.find(sent.reply.header("Pilot-Container") ?? "");
  t.deepEqual(container?.limits, { memoryMb: 128, cpuShares: 1_024, processes: 64 });
});

test("F019 F020 an order for a runtime or version that is not offered is refused", async (t) => {
  const r = await rig(t, { runtimes: { node: "node 20.20.2" } });
  r.versions.set("main.echo.7", { runtime: "python" });
  const python = r.call("echo", "cold", "", { version: 7 });
  const other = r.call("echo", "warm", "", { runtimeWanted: "node@2" });
  const right = r.call("echo", "warm", "", { runtimeWanted: "node@20" });
  await r.clock.settle();
  t.is(python.refused, "runtime");
  t.is(other.refused, "runtime");
  t.is(right.reply.error, undefined);
});

test("a function with network gets no warm instance, only one booted with network", async (t) => {
  const r = await rig(t);
  r.versions.set("main.echo.1", { network: true });
  const warm = r.call("echo", "warm");
  const cold = r.call("echo", "cold");
  await r.clock.advance(50);
  t.is(warm.refused, "no-instance");
  t.is(cold.reply.header("Pilot-Rung"), "cold");
  t.true(r.active[0]?.network);
});

test("F013 an idle container makes room for another function of the account in the same instance, which stays", async (t) => {
  const r = await rig(t);
  r.call("echo", "warm", "1", { memoryMb: 900 });
  await r.clock.advance(50);
  const instance = r.active[0]?.id;
  const sent = r.call("sleep", "own", "1", { memoryMb: 900 }, instance);
  await r.clock.advance(100);
  t.is(sent.reply.body, "slept");
  t.is(sent.reply.header("Pilot-Instance"), instance);
  t.is(r.counter("containers.evicted"), 1);
  t.is(r.active[0]?.usedMb, 900);
});

test("an instance that is held in vain is still ended with its last container", async (t) => {
  const r = await rig(t);
  r.call("echo", "warm", "1", { memoryMb: 900, keepAliveMs: 500 });
  await r.clock.advance(50);
  const refused = r.call("sleep", "own", "1", { memoryMb: 2_000 }, r.active[0]?.id);
  await r.clock.advance(1_500);
  t.is(refused.refused, "no-room");
  t.is(r.counter("containers.evicted"), 0);
  t.is(r.active.length, 0);
});
