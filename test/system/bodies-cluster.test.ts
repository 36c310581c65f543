/**
 * Large bodies on a cluster of three servers, each of which has a copy of them: callers on other servers than the one that leads the store,
 * readers that sit on its followers, and servers that are killed between the upload of a body and its call.
 */
import { randomBytes } from "node:crypto";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { publish } from "../../cli/publish.ts";
import { BODY_HEADER, getBody, putBody } from "../../nodes/io/bodies.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const STREAM = "OBJ_pilot_bodies";
const NOTHING = new Uint8Array(0);
const PATIENCE_MS = 60_000;
const CALL_MS = 20_000;
const BYTES = 3_000_000;
/** How a call may end whose server, or whose body's server, is killed just then. */
const TYPED = ["Unavailable", "Throttled", "InstanceLost", "BodyUnavailable"];

/** Frontend and host on server 0 and on server 2, so that both followers and the leader are read from. */
async function openCluster(t: ExecutionContext<never>): Promise<{ cluster: Cluster; operator: Connected }> {
  const cluster = await startCluster(t, { brokers: 3 });
  const warm = { node: 1, python: 0 };
  await cluster.run(["scheduler", "frontend", "host"], { name: "first", warm, servers: [0, 2, 1] });
  await cluster.run(["frontend", "host"], { name: "second", warm, servers: [2, 0, 1] });
  const operator = await cluster.operator([1, 0, 2]);
  const bundle = await bundleSource("export const handler = (event) => event", "node");
  await publish(operator, bundle, { account: "main", name: "echo", settings: { memoryMb: 512, class: "rare" } });
  const copies = async () => (await (await operator.nc.jetstreamManager()).streams.info(STREAM)).cluster?.replicas ?? [];
  await until(async () => (await copies()).filter(({ current }) => current).length === 2, "three copies of the store", PATIENCE_MS);
  return { cluster, operator };
}

async function leaderOf({ nc }: Connected): Promise<string | undefined> {
  return (await (await nc.jetstreamManager({ timeout: 1_000 })).streams.info(STREAM)).cluster?.leader;
}

/** Lets that server lead the store: whoever else leads steps down, until it does. */
async function lead(cluster: Cluster, operator: Connected, at: number): Promise<void> {
  const wanted = cluster.plan.brokers[at]?.name;
  await until(
    async () => {
      const leader = await leaderOf(operator);
      if (leader === wanted) return true;
      if (leader !== undefined) await operator.nc.request(`$JS.API.STREAM.LEADER.STEPDOWN.${STREAM}`, NOTHING, { timeout: 2_000 });
      await until(async () => (await leaderOf(operator)) !== undefined, "a leader of the store", 10_000);
      return false;
    },
    `server ${at} to lead the store`,
    2 * PATIENCE_MS,
  );
}

/** Calls with a body that is in the store, and reads the large result. */
async function redeem({ caller }: Connected, claim: string): Promise<Uint8Array> {
  const reply = await caller.call(SUBJECT.fn("main", "echo"), NOTHING, {
    timeoutMs: CALL_MS,
    redeems: true,
    headers: { [BODY_HEADER]: claim },
  });
  const large = reply.headers[BODY_HEADER];
  return large === undefined ? reply.body : getBody(caller, "main", large);
}

/** What came of it: what it gave, or the name of its error. What is no typed error fails. */
async function outcome<T>(
  t: ExecutionContext<never>,
  what: string,
  work: Promise<T>,
): Promise<{ readonly gave?: T; readonly error?: string }> {
  const began = performance.now();
  const took = (): string => `${Math.round(performance.now() - began)} ms`;
  try {
    const gave = await work;
    t.log(`seen: ${what}: well after ${took()}`);
    return { gave };
  } catch (thrown) {
    const { name, message } = Fault.from(thrown);
    t.log(`seen: ${what}: ${name} after ${took()}: ${message}`);
    t.true(TYPED.includes(name), `${what}: ${name}: ${message}`);
    t.notRegex(message, /switched on/, "nothing is wrong with how the servers are set up");
    return { error: name };
  }
}

/** Calls until it works. Only a call that ran, and whose answer was lost, can have used the body up. */
async function redeemed(
  t: ExecutionContext<never>,
  connected: Connected,
  claim: string,
  first: Promise<Uint8Array>,
  body: Uint8Array,
): Promise<void> {
  let attempt = first;
  for (let nth = 1; nth <= 5; nth++) {
    const { gave, error } = await outcome(t, `call, attempt ${nth}`, attempt);
    if (gave !== undefined) {
      t.true(same(gave, body));
      return;
    }
    if (error === "BodyUnavailable") {
      t.true(nth > 1, "a body that no call had used is gone");
      return;
    }
    attempt = redeem(connected, claim);
  }
  t.fail("the call did not end well in five attempts");
}

const same = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

/** The whole way, until it works. */
const works = (connected: Connected) =>
  until(
    async () => {
      const body = randomBytes(BYTES);
      return same(await redeem(connected, await putBody(connected.caller, "main", body)), body);
    },
    "a large body there and back",
    PATIENCE_MS,
  );

test("wherever the store is led from and wherever the caller is, large bodies come back as they went, at once", async (t) => {
  t.timeout(6 * PATIENCE_MS);
  const { cluster, operator } = await openCluster(t);
  const callers = await Promise.all([0, 1, 2].map((at) => cluster.anonymous([at])));
  await Promise.all(callers.map(works));
  for (const leader of [0, 1, 2]) {
    await lead(cluster, operator, leader);
    await Promise.all(
      callers.map(async (connected, at) => {
        for (const bytes of [BODY_LIMIT + 1, BYTES]) {
          const body = randomBytes(bytes);
          const back = await redeem(connected, await putBody(connected.caller, "main", body));
          t.true(same(back, body), `led by server ${leader}, called from server ${at}, ${bytes} bytes`);
        }
      }),
    );
  }
});

for (const [what, leader, killed] of [
  ["that leads the store", 1, 1],
  ["that has a copy of the store, and the frontend and the host that sit on it", 1, 2],
  ["that the caller is on", 2, 1],
] as const) {
  test(`a server ${what} is killed between the upload of a body and its call: the call works or ends in a typed error, and the body is not lost`, async (t) => {
    t.timeout(6 * PATIENCE_MS);
    const { cluster, operator } = await openCluster(t);
    // Where the caller's own server is to live, it is another than that of the leader.
    const connected = await cluster.anonymous(killed === 1 && leader === 2 ? [1, 0, 2] : [0, 1, 2]);
    await works(connected);
    await lead(cluster, operator, leader);
    const body = randomBytes(BYTES);
    const claims = await Promise.all([1, 2, 3].map(() => putBody(connected.caller, "main", body)));
    // One call and one upload are on their way when it dies; the other calls come after.
    const underWay = redeem(connected, claims[0] ?? "");
    const uploading = outcome(t, "upload", putBody(connected.caller, "main", body));
    await cluster.kill(killed);
    await Promise.all(claims.map((claim, at) => redeemed(t, connected, claim, at === 0 ? underWay : redeem(connected, claim), body)));
    const { gave: uploaded } = await uploading;
    if (uploaded !== undefined) await redeemed(t, connected, uploaded, redeem(connected, uploaded), body);
    await works(connected);
    await cluster.restart(killed);
    await cluster.settled();
    await works(connected);
  });
}
