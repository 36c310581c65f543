/** After a deploy has returned no call is answered by the version before, whoever died or was away meanwhile. */
import test, { type ExecutionContext } from "ava";
import { rendezvous } from "../../actors/kit/rendezvous.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { deployFunction } from "../../protocol/messages/registry.ts";
import { Ledger } from "./ledger.ts";
import { World } from "./world.ts";

async function busyWorld(t: ExecutionContext) {
  const world = await new World(11, { frontends: 2, schedulers: 2, hosts: 2, hostMb: 4_000, warm: 2 }).start();
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
  return { world, deploy, call };
}

test("a deploy recalls the grants of a keeper that has died", async (t) => {
  const { world, deploy, call } = await busyWorld(t);
  const keeper = rendezvous("a.busy", ["s1", "s2"]) ?? "";
  world.kill(keeper);
  await world.clock.advance(300);
  // It is waited for until it is declared lost.
  t.deepEqual(await deploy(2), []);
  const calls = call(40);
  await world.clock.advance(1_000);
  t.deepEqual([...new Set(calls.flatMap(({ runs }) => runs.map(({ version }) => version)))], [2]);
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
