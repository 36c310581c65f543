/** How long calls stay where several hosts share a granted function, on a clock moved by hand: nothing else on the machine counts. */
import test, { type ExecutionContext } from "ava";
import { provisionContainer } from "../../protocol/messages/host.ts";
import { deployFunction } from "../../protocol/messages/registry.ts";
import { seededRandom } from "../support/random.ts";
import { World } from "./world.ts";

const HOSTS = 4;

/** Four hosts with so many containers each of a function that runs so long, which may have no more, and grants for all. */
async function openHosts(t: ExecutionContext, seed: number, each: number, runMs: number) {
  const world = await new World(seed, { frontends: 1, schedulers: 1, hosts: HOSTS, hostMb: 4_000, warm: 1 }).start();
  t.teardown(() => world.close());
  const digest = world.code("q", {
    async run(body, context) {
      await context.sleep(runMs);
      return body.slice();
    },
  });
  const settled = async <R>(promise: Promise<R>): Promise<R> => {
    let isOver = false;
    const over = promise.finally(() => (isOver = true));
    over.catch(() => undefined);
    for (let waited = 0; waited < 15_000 && !isOver; waited += 10) await world.clock.advance(10);
    return over;
  };
  const settings = { class: "busy", keepAliveMs: 600_000, containers: HOSTS * each, memoryMb: 128 } as const;
  const order = { account: "a", name: "q", runtime: "node", handler: "handler", digest, bytes: 1, hasMap: false, settings } as const;
  await settled(world.operator.ask(deployFunction, [], order));
  for (const { node, host } of world.of("host")) {
    for (let made = 0; made < each; made++) {
      const instance = host?.describe().instances.find(({ account }) => account === "a")?.id;
      const where = instance === undefined ? ({ rung: "warm" } as const) : ({ rung: "cached", instance } as const);
      const what = { account: "a", function: "q", version: 1, memoryMb: 128, keepAliveMs: 600_000 };
      await settled(world.operator.ask(provisionContainer, [node.id], { ...what, ...where }));
    }
  }
  await world.clock.advance(2_500);
  t.true(world.of("host").every(({ host }) => host?.describe().grants.length === 1));

  const sentAt = new Map<number, number>();
  const stays: number[] = [];
  const answered: { next: () => void } = { next: () => undefined };
  world.caller.listen("_INBOX.q.>", {}, ({ subject }) => {
    stays.push(world.clock.now() - (sentAt.get(Number(subject.split(".")[2])) ?? 0));
    answered.next();
  });
  return {
    world,
    answered,
    /** How long each call stayed, in ms, in the order of the answers. */
    stays,
    get sent() {
      return sentAt.size;
    },
    call(): void {
      sentAt.set(sentAt.size, world.clock.now());
      world.caller.send("pilot.fn.a.q", new Uint8Array(1), `_INBOX.q.${sentAt.size - 1}`);
    },
    handedOn: () => world.of("host").reduce((sum, { host }) => sum + (host?.describe().counters["handed.keeper"] ?? 0), 0),
  };
}

for (const [load, most] of [
  [0.8, 4],
  [0.9, 5.5],
] as const) {
  test(`F025 eight containers on four hosts that are ${load * 100} % busy: of a hundred calls 99 stay less than ${most} run times`, async (t) => {
    const runMs = 10;
    const { world, call, stays } = await openHosts(t, 1, 2, runMs);
    const random = seededRandom(31);
    const perMs = (load * HOSTS * 2) / runMs;
    for (let sent = 0; sent < 1_500; sent++) {
      await world.clock.advance(-Math.log(1 - random.next()) / perMs);
      call();
    }
    await world.clock.advance(2_000);
    t.is(stays.length, 1_500);
    // Until something has run, nobody knows how long it takes.
    const sorted = stays.slice(200).sort((a, b) => a - b);
    const p99 = (sorted[Math.floor(sorted.length * 0.99)] ?? 0) / runMs;
    t.true(p99 < most, `${p99}`);
  });
}

test("F025 four hosts with one container each and 64 short calls under way: few are handed on, since all are as full", async (t) => {
  const runMs = 0.4;
  const { world, call, stays, answered, handedOn } = await openHosts(t, 1, 1, runMs);
  answered.next = call;
  for (let lane = 0; lane < 64; lane++) call();
  await world.clock.advance(300);
  const before = { answered: stays.length, handed: handedOn() };
  const ms = 500;
  await world.clock.advance(ms);
  const count = stays.length - before.answered;
  answered.next = () => undefined;
  await world.clock.advance(2_000);
  t.log(`${count} calls, ${handedOn() - before.handed} handed on`);
  t.true(handedOn() - before.handed < count / 20);
  // What four containers can do in that time.
  t.true(count > 0.8 * ((HOSTS * ms) / runMs), `${count}`);
});
