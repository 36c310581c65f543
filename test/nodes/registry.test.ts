/** The registry service over a real broker, with the credentials that nodes have. */
import test, { type ExecutionContext } from "ava";
import type { Bus } from "../../actors/kit/bus.ts";
import { openRegistry, type Registry } from "../../actors/kit/registry.ts";
import { serveRegistry } from "../../actors/scheduler/registry/serve.ts";
import { openBuckets, prepareStorage } from "../../nodes/io/buckets.ts";
import { systemClock } from "../../nodes/io/clock.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { deployFunction, removeFunction, showFunction } from "../../protocol/messages/registry.ts";
import { syncNode } from "../../protocol/messages/sync.ts";
import { startTestBroker, type TestBroker } from "../support/nats-server.ts";
import { recordLog } from "../support/record-log.ts";

const SCHEDULERS = ["scheduler-1", "scheduler-2"];
const FRONTENDS = ["frontend-1", "frontend-2"];
const log = recordLog();

async function join(t: ExecutionContext, broker: TestBroker, role: "scheduler" | "frontend" | "operator", node: string) {
  const { servers, user, pass } = broker.credentials(role);
  const connected: Connected = await connect({ servers: [servers], user, password: pass }, { name: node, role, node });
  t.teardown(() => connected.close());
  return connected;
}

async function start(t: ExecutionContext): Promise<{ asker: Bus; registries: Registry[] }> {
  const broker = await startTestBroker(t);
  const registries: Registry[] = [];
  const live = () => ({ frontends: FRONTENDS, schedulers: SCHEDULERS, hosts: [] });
  for (const node of [...SCHEDULERS, ...FRONTENDS]) {
    const role = SCHEDULERS.includes(node) ? "scheduler" : "frontend";
    const { bus, nc } = await join(t, broker, role, node);
    if (role === "scheduler") await prepareStorage(nc);
    const buckets = await openBuckets(nc, log);
    const registry = await openRegistry(buckets, systemClock, log);
    t.teardown(() => registry.stop());
    registries.push(registry);
    bus.serve(syncNode, [node], (change) => {
      registry.sync(change);
      return {};
    });
    if (role === "scheduler") {
      const service = serveRegistry({ ...buckets, bus, registry, clock: systemClock, log, hasCode: async () => true, live });
      t.teardown(() => service.stop());
    }
  }
  const asker = (await join(t, broker, "operator", "operator")).bus;
  return { asker, registries };
}

const order = (handler: string) => ({
  account: "main",
  name: "f",
  runtime: "node" as const,
  handler,
  digest: "a".repeat(64),
  bytes: 1,
  hasMap: false,
});
const which = { account: "main", name: "f" };

test("deploys of one name at once over a real broker get a version each, and every node knows them when they are answered", async (t) => {
  const { asker, registries } = await start(t);
  const answers = await Promise.all(Array.from({ length: 12 }, (_, nth) => asker.ask(deployFunction, [], order(`h${nth}`))));
  t.deepEqual(
    answers.map((answer) => answer.version.version).sort((a, b) => a - b),
    Array.from({ length: 12 }, (_, nth) => nth + 1),
  );
  t.deepEqual(new Set(answers.flatMap((answer) => answer.unconfirmed)), new Set());
  for (const registry of registries) {
    t.is(registry.function("main", "f")?.newest, 12);
    t.deepEqual(registry.function("main", "f")?.aliases["live"], [{ version: 12, weight: 100 }]);
    t.is(registry.account("main")?.active, true);
  }
  const shown = await asker.ask(showFunction, [], which);
  for (const answer of answers) {
    const version = shown.versions.find((one) => one.version === answer.version.version);
    t.is(version?.handler, answer.version.handler);
    t.is((await registries.at(-1)?.version("main", "f", answer.version.version))?.handler, answer.version.handler);
  }
});

test("a removed function is gone everywhere, and its next version has a new number", async (t) => {
  const { asker, registries } = await start(t);
  await asker.ask(deployFunction, [], order("one"));
  t.deepEqual(await asker.ask(removeFunction, [], which), { removed: true, unconfirmed: [] });
  for (const registry of registries) {
    t.is(registry.function("main", "f"), undefined);
    t.is(await registry.readThrough("main", "f"), undefined);
  }
  t.is((await asker.ask(deployFunction, [], order("two"))).version.version, 2);
  for (const registry of registries) t.is((await registry.readThrough("main", "f"))?.newest, 2);
});
