/** After a deploy has returned no call is answered by the version before, whoever died or was away meanwhile. */
import test, { type ExecutionContext } from "ava";
import { LIMITS } from "../../protocol/limits.ts";
import { deployFunction, setAccount } from "../../protocol/messages/registry.ts";
import { Ledger } from "./ledger.ts";
import { World } from "./world.ts";

async function busyWorld(t: ExecutionContext, schedulers = 2) {
  const world = await new World(11, { frontends: 2, schedulers, hosts: 2, hostMb: 4_000, warm: 2 }).start();
  t.teardown(() => world.close());
  const ledger = new Ledger(world);
  const deploy = async (version: number) => {
    const text = `a.busy:${version}`;
    const digest = world.code(text, ledger.program(version, 0));
    const deployed = world.operator.ask(deployFunction, [], {
      account: "a",
      name: "busy",
      runtime: "node",
      handler: "handler",
      digest,
      bytes: text.length,
      hasMap: false,
      settings: { class: "busy", keepAliveMs: 60_000 },
    });
    let unconfirmed: readonly string[] | undefined;
    void deployed.then((done) => {
      unconfirmed = done.unconfirmed;
    });
    for (let waited = 0; waited < 15_000 && unconfirmed === undefined; waited += 10) await world.clock.advance(10);
    return unconfirmed;
  };
  const call = (times: number) => Array.from({ length: times }, () => ledger.call("a.busy", "return", 0, { idempotent: false }));
  t.deepEqual(await deploy(1), []);
  // Until hosts answer it directly.
  for (let round = 0; round < 20; round++) {
    call(3);
    await world.clock.advance(50);
  }
  t.true(world.of("host").some(({ host }) => (host?.describe().grants.length ?? 0) > 0));
  /** From now on no call is answered by another version. */
  const only = async (version: number) => {
    const calls = [];
    for (let round = 0; round < 30; round++) {
      calls.push(...call(5));
      await world.clock.advance(round % 10 === 9 ? 2_000 : 20);
    }
    await world.clock.advance(1_000);
    t.deepEqual([...new Set(calls.flatMap(({ runs }) => runs.map((run) => run.version)))], [version]);
    t.false(calls.some(({ replies }) => replies.length !== 1 || replies[0]?.error !== undefined));
  };
  return { world, deploy, call, only, leader: leaderOf(world) };
}

function leaderOf(world: World) {
  const [leader, ...more] = world.leaders();
  if (leader === undefined || more.length > 0) throw new Error(`${1 + more.length} lead`);
  return leader;
}

test("a deploy recalls the grants of a leader that has died", async (t) => {
  const { world, deploy, only, leader } = await busyWorld(t);
  world.kill(leader.id);
  await world.clock.advance(300);
  // It is waited for until it is declared lost.
  t.deepEqual(await deploy(2), []);
  await only(2);
});

test("a deploy recalls the grants of a leader that has died, also from a host that was cut off just then", async (t) => {
  const { world, deploy, only, leader } = await busyWorld(t);
  // What others may have given before this scheduler began has run out.
  await only(1);
  world.kill(leader.id);
  for (const { host, node } of world.of("host")) if ((host?.describe().grants.length ?? 0) > 0) node.cut(LIMITS.hostSilence.value - 700);
  await world.clock.advance(100);
  const unconfirmed = await deploy(2);
  if (unconfirmed?.length === 0) await only(2);
  else t.fail(`unconfirmed: ${unconfirmed?.join()}`);
});

test("a deploy recalls the grants of a leader that was followed a moment ago", async (t) => {
  const { world, deploy, only, leader } = await busyWorld(t);
  world.kill(leader.id);
  for (let waited = 0; waited < 5_000 && world.leaders().length === 0; waited += 10) await world.clock.advance(10);
  t.not(leaderOf(world).id, leader.id);
  t.deepEqual(await deploy(2), []);
  await only(2);
});

test("a deploy while the leader stands still names it, and when it wakes nothing of what it gave holds", async (t) => {
  const { world, deploy, only, leader } = await busyWorld(t);
  leader.hang(LIMITS.leaseTakeover.value + 1_500);
  await world.clock.advance(300);
  const unconfirmed = await deploy(2);
  t.true(unconfirmed?.length === 0 || unconfirmed?.join() === leader.id, unconfirmed?.join());
  await only(2);
  t.not(leaderOf(world).id, leader.id);
});

test("a deploy right after the only scheduler died and began anew recalls what its earlier life gave", async (t) => {
  const { world, deploy, only, leader } = await busyWorld(t, 1);
  world.kill(leader.id);
  await world.clock.advance(150);
  await world.begin(leader.id, "scheduler");
  t.deepEqual(await deploy(2), []);
  await only(2);
});

test("while nobody can lead, grants run out and every call is answered all the same", async (t) => {
  const { world, only, leader } = await busyWorld(t);
  const until = world.clock.now() + 40_000;
  world.lease.fate = () => (world.clock.now() < until ? "refused" : "answered");
  world.kill(leader.id);
  await world.clock.advance(LIMITS.grantLife.value + 3_000);
  t.false(world.of("host").some(({ host }) => (host?.describe().grants.length ?? 0) > 0));
  await only(1);
  await world.clock.advance(until - world.clock.now() + 1_000);
  t.is(world.leaders().length, 1);
});

test("an account that is switched off right after its leader died runs nothing directly", async (t) => {
  const { world, call, leader } = await busyWorld(t);
  world.kill(leader.id);
  await world.clock.advance(200);
  let isDone = false;
  const done = world.operator.ask(setAccount, [], { account: "a", create: false, active: false });
  void done.then(({ unconfirmed }) => {
    isDone = true;
    t.deepEqual(unconfirmed, []);
  });
  for (let waited = 0; waited < 15_000 && !isDone; waited += 10) await world.clock.advance(10);
  t.true(isDone);
  const calls = call(40);
  await world.clock.advance(1_000);
  t.false(calls.some(({ runs }) => runs.length > 0));
});

test("a frontend that was away during a deploy, and was not waited for, knows the new version when it comes back", async (t) => {
  const { world, deploy, call } = await busyWorld(t);
  for (const { node } of world.of("frontend")) if (node.id === "f1") node.cut(LIMITS.hostSilence.value + 900);
  await world.clock.advance(LIMITS.hostSilence.value + 300);
  t.deepEqual(await deploy(2), []);
  await world.clock.advance(550 - (world.clock.now() % 10));
  const calls = [];
  for (let round = 0; round < 20; round++) {
    calls.push(...call(5));
    await world.clock.advance(10);
  }
  await world.clock.advance(1_000);
  t.true(calls.some(({ went }) => went.some(({ to }) => to.startsWith("f1#"))));
  t.deepEqual([...new Set(calls.flatMap(({ runs }) => runs.map(({ version }) => version)))], [2]);
});
