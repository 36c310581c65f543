import test from "ava";
import { LIMITS } from "../../../protocol/limits.ts";
import { listPools, setAlias, setFunction, setPool } from "../../../protocol/messages/registry.ts";
import { world } from "./world.ts";

test("deploy does not answer before the slowest live frontend has applied it", async (t) => {
  const { deploy, broker, clock, node } = await world({ frontends: 3 });
  broker.fault = (packet) => (packet.subject === "_pilot.node.frontend-1.sync" ? 700 : undefined);
  let answered = false;
  const deployed = deploy("f").then((answer) => {
    answered = true;
    return answer;
  });
  await clock.advance(699);
  t.false(answered);
  t.is(node("frontend-0").registry.function("main", "f")?.newest, 1);
  await clock.advance(1);
  t.true(answered);
  t.deepEqual((await deployed).unconfirmed, []);
});

test("a live node that does not answer in time is named, and holds up nobody for longer", async (t) => {
  const { deploy, node, clock } = await world({ frontends: 3 });
  node("frontend-2").bus.hang();
  let answer: { unconfirmed: string[] } | undefined;
  void deploy("f").then((given) => {
    answer = given;
  });
  await clock.advance(LIMITS.deployAcknowledge.value - 1);
  t.is(answer, undefined);
  await clock.advance(1);
  t.deepEqual(answer?.unconfirmed, ["frontend-2"]);
  t.is(clock.pending, 0);
});

test("a node that is declared dead meanwhile is not waited for", async (t) => {
  const { deploy, node, clock, live } = await world({ frontends: 3 });
  node("frontend-2").bus.hang();
  let answer: { unconfirmed: string[] } | undefined;
  void deploy("f").then((given) => {
    answer = given;
  });
  await clock.advance(300);
  live.frontends = ["frontend-0", "frontend-1"];
  await clock.advance(LIMITS.confirmRetry.value);
  t.deepEqual(answer?.unconfirmed, []);
});

test("when a scheduler is lost that had not answered, the others are asked again, also one that is still busy with the first time", async (t) => {
  const { deploy, node, clock, live, broker } = await world({ frontends: 1, schedulers: 3 });
  const [one = "", two = "", lost = ""] = live.schedulers;
  node(lost).bus.hang();
  let nth = 0;
  broker.fault = (packet) => (packet.subject === `_pilot.node.${two}.sync` && nth++ === 0 ? 600 : undefined);
  let answer: { unconfirmed: string[] } | undefined;
  void deploy("f").then((given) => {
    answer = given;
  });
  await clock.advance(300);
  t.is(node(one).synced.length, 1);
  live.schedulers = [one, two];
  await clock.advance(LIMITS.confirmRetry.value);
  t.deepEqual(answer?.unconfirmed, []);
  t.is(node(one).synced.length, 2);
  t.is(node(two).synced.length, 1);
  t.is(node("frontend-0").synced.length, 1);
});

test("a live node whose connection is cut for a moment is asked again", async (t) => {
  const { deploy, node, clock } = await world({ frontends: 2 });
  node("frontend-1").bus.disconnect();
  let answer: { unconfirmed: string[] } | undefined;
  void deploy("f").then((given) => {
    answer = given;
  });
  await clock.advance(500);
  t.is(answer, undefined);
  node("frontend-1").bus.reconnect();
  await clock.advance(LIMITS.confirmRetry.value);
  t.deepEqual(answer?.unconfirmed, []);
  t.is(node("frontend-1").registry.function("main", "f")?.newest, 1);
});

test("a node that appears while others are waited for is told too", async (t) => {
  const { deploy, node, clock, live, join, broker } = await world({ frontends: 2 });
  const late = await join("frontend-late");
  broker.fault = (packet) => (packet.subject === "_pilot.node.frontend-1.sync" ? 300 : undefined);
  const deployed = deploy("f");
  await clock.advance(100);
  live.frontends.push("frontend-late");
  await clock.advance(300);
  t.deepEqual((await deployed).unconfirmed, []);
  t.is(late.synced.length, 1);
  t.is(node("frontend-0").synced.length, 1);
});

test("settings and aliases are confirmed by frontends and schedulers, never by hosts", async (t) => {
  const { deploy, operator, node, live } = await world();
  await deploy("f");
  await operator.ask(setFunction, [], { account: "main", name: "f", change: { timeoutMs: 7 } });
  await operator.ask(setAlias, [], { account: "main", name: "f", alias: "beta", shares: [{ version: 1, weight: 100 }] });
  for (const name of [...live.frontends, ...live.schedulers]) t.is(node(name).synced.length, 3, name);
  for (const name of live.hosts) t.is(node(name).synced.length, 0, name);
  t.is(node("frontend-0").registry.function("main", "f")?.settings.timeoutMs, 7);
});

test("pool targets are told to every host and scheduler, and kept as one list", async (t) => {
  const { operator, node, live } = await world();
  await operator.ask(setPool, [], { runtime: "python", memoryMb: 256, warm: 3 });
  await operator.ask(setPool, [], { runtime: "node", memoryMb: 256, warm: 2 });
  const { pools, unconfirmed } = await operator.ask(setPool, [], { runtime: "python", memoryMb: 256, warm: 0 });
  t.deepEqual(unconfirmed, []);
  t.deepEqual(pools, [
    { runtime: "node", memoryMb: 256, warm: 2 },
    { runtime: "python", memoryMb: 256, warm: 0 },
  ]);
  t.deepEqual((await operator.ask(listPools, [], {})).pools, pools);
  for (const name of [...live.hosts, ...live.schedulers]) t.deepEqual(node(name).synced.at(-1), { pools }, name);
  for (const name of live.frontends) t.deepEqual(node(name).synced, []);
});

test("pool targets of many operators at once are all kept, and bounded", async (t) => {
  const { operator } = await world({ hosts: 1, frontends: 0 });
  const target = (nth: number) => ({ runtime: "node" as const, memoryMb: 128 + nth, warm: 1 });
  await Promise.all(Array.from({ length: 20 }, (_, nth) => operator.ask(setPool, [], target(nth))));
  t.is((await operator.ask(listPools, [], {})).pools.length, 20);
  for (let nth = 20; nth < LIMITS.poolTargets.value; nth++) await operator.ask(setPool, [], target(nth));
  await t.throwsAsync(operator.ask(setPool, [], target(999)), { name: "BadRequest" });
  await t.notThrowsAsync(operator.ask(setPool, [], target(0)));
});

test("a service that is stopped answers what it has taken", async (t) => {
  const { deploy, services, buckets, clock } = await world({ schedulers: 1 });
  let go: () => void = () => undefined;
  buckets.functions.before = () => new Promise<void>((resolve) => (go = resolve));
  const deployed = deploy("f");
  await clock.settle();
  let stopped = false;
  const stopping = services[0]?.stop().then(() => {
    stopped = true;
  });
  await clock.settle();
  t.false(stopped);
  buckets.functions.before = () => undefined;
  go();
  await stopping;
  t.is((await deployed).version.version, 1);
  await t.throwsAsync(deploy("g"), { name: "Unavailable" });
});

test("schedulers know a version from its deploy on without a read; nobody else is told what its environment holds", async (t) => {
  const { deploy, node, live, buckets } = await world({ schedulers: 2, frontends: 2, hosts: 1 });
  const { version } = await deploy("f", { environment: { SECRET: "x" } });
  const before = buckets.versions.counts.get;
  for (const name of live.schedulers) t.deepEqual(await node(name).registry.version("main", "f", 1), version);
  t.is(buckets.versions.counts.get, before);
  for (const name of [...live.frontends, ...live.hosts]) t.notRegex(JSON.stringify(node(name).synced), /SECRET/);
});
