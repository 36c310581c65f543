/** The Bucket port on a real broker: what the memory bucket promises, and what only a real one can break. */
import test, { type ExecutionContext } from "ava";
import { connect, type NatsConnection } from "nats";
import type { BodyShare } from "../../actors/kit/body-shares.ts";
import type { Bucket } from "../../actors/kit/ports.ts";
import { openBodyStore, openPartStore } from "../../nodes/io/body-store.ts";
import { type BodyWatch, watchBodies } from "../../nodes/io/body-watch.ts";
import { openBucket } from "../../nodes/io/bucket.ts";
import { BUCKET, OBJECTS, openBuckets, prepareStorage, STREAM } from "../../nodes/io/buckets.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Role } from "../../protocol/subjects.ts";
import { serveForeign } from "../support/foreign-server.ts";
import { startTestBroker, type TestBroker } from "../support/nats-server.ts";
import { recordLog } from "../support/record-log.ts";
import { until } from "../support/until.ts";

interface Row {
  readonly text: string;
  readonly gone?: string | undefined;
}

async function join(t: ExecutionContext, broker: TestBroker, role: Role): Promise<NatsConnection> {
  const nc = await connect({ ...broker.credentials(role), maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  t.teardown(() => nc.close());
  return nc;
}

async function start(t: ExecutionContext): Promise<{ broker: TestBroker; nc: NatsConnection; bucket: Bucket<Row> }> {
  const broker = await startTestBroker(t);
  const nc = await join(t, broker, "scheduler");
  await prepareStorage(nc);
  return { broker, nc, bucket: await openBucket<Row>(nc, BUCKET.functions, recordLog()) };
}

function watched(t: ExecutionContext, nc: NatsConnection, most?: BodyShare): BodyWatch {
  const watch = watchBodies(nc, recordLog(), most);
  t.teardown(() => watch.stop());
  return watch;
}

const faultOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "nothing",
    (thrown: unknown) => (thrown instanceof Fault ? thrown.name : `no Fault: ${thrown}`),
  );

test("a bucket reads, creates, updates by revision and removes", async (t) => {
  const { bucket } = await start(t);
  t.is(await bucket.get("main.a"), undefined);
  const first = await bucket.create("main.a", { text: "one", gone: undefined });
  t.deepEqual(await bucket.get("main.a"), { key: "main.a", value: { text: "one" }, revision: first });
  t.is(await faultOf(bucket.create("main.a", { text: "two" })), "Conflict");
  const second = await bucket.update("main.a", { text: "two" }, first);
  t.true(second > first);
  t.is(await faultOf(bucket.update("main.a", { text: "three" }, first)), "Conflict");
  t.is(await faultOf(bucket.update("main.b", { text: "three" }, second)), "Conflict");
  t.is(await faultOf(bucket.remove("main.a", first)), "Conflict");
  await bucket.remove("main.a", second);
  t.is(await bucket.get("main.a"), undefined);
  t.is(await faultOf(bucket.update("main.a", { text: "three" }, second)), "Conflict");
  t.true((await bucket.create("main.a", { text: "again" })) > second + 1);
  await bucket.remove("main.never");
});

test("keys that mean something to the broker are refused before they are sent", async (t) => {
  const { bucket } = await start(t);
  for (const key of ["", "*", ">", "main.>", ".main", "main.", "main..a", "main a", "main\r\na", "maïn"]) {
    t.is(await faultOf(bucket.get(key)), "BadRequest", key);
    t.is(await faultOf(bucket.create(key, { text: "" })), "BadRequest", key);
    t.is(await faultOf(bucket.remove(key)), "BadRequest", key);
  }
});

test("of twenty writers at once with one revision, one wins", async (t) => {
  const { bucket } = await start(t);
  const revision = await bucket.create("main.a", { text: "" });
  const results = await Promise.all(Array.from({ length: 20 }, (_, at) => faultOf(bucket.update("main.a", { text: `${at}` }, revision))));
  t.is(results.filter((result) => result === "nothing").length, 1);
  t.is(results.filter((result) => result === "Conflict").length, 19);
});

test("a watch has what is present before it resolves, then tells changes and removals in order", async (t) => {
  const { bucket } = await start(t);
  for (let at = 0; at < 50; at++) await bucket.create(`main.f${at}`, { text: `${at}` });
  await bucket.remove("main.f0");
  const seen: [string, string | undefined, number][] = [];
  const watch = await bucket.watch((key, value, revision) => seen.push([key, value?.text, revision]));
  t.is(seen.filter(([, text]) => text !== undefined).length, 49);
  const from = seen.length;
  const revision = await bucket.create("main.new", { text: "new" });
  await bucket.remove("main.new", revision);
  await until(() => seen.length === from + 2, "both changes");
  t.deepEqual(
    seen.slice(from).map(([key, text]) => [key, text]),
    [
      ["main.new", "new"],
      ["main.new", undefined],
    ],
  );
  t.is(seen[from]?.[2], revision);
  watch.stop();
  await bucket.create("main.later", { text: "" });
  await bucket.get("main.later");
  t.is(seen.length, from + 2);
});

test("a watch of an empty bucket resolves", async (t) => {
  const { bucket } = await start(t);
  const watch = await bucket.watch(() => t.fail("nothing is there"));
  watch.stop();
  t.pass();
});

test("a listener that throws and a value that is no msgpack end no watch", async (t) => {
  const { nc, bucket } = await start(t);
  const seen: string[] = [];
  const watch = await bucket.watch((key) => {
    seen.push(key);
    throw new Error("listener");
  });
  t.teardown(() => watch.stop());
  await bucket.create("main.a", { text: "" });
  await nc.jetstream().publish(`$KV.${BUCKET.functions}.main.bad`, Uint8Array.of(0x82, 0xa1));
  await bucket.create("main.b", { text: "" });
  await until(() => seen.includes("main.b"), "the record after the bad one");
  t.deepEqual(seen, ["main.a", "main.b"]);
  t.is(await faultOf(bucket.get("main.bad")), "Internal");
});

for (const how of ["restart", "crash"] as const) {
  test(`a watch goes on after a ${how} of the broker and misses nothing`, async (t) => {
    const { broker, nc, bucket } = await start(t);
    const writer = await openBucket<Row>(await join(t, broker, "scheduler"), BUCKET.functions, recordLog());
    const seen: string[] = [];
    const watch = await bucket.watch((key) => seen.push(key));
    t.teardown(() => watch.stop());
    await writer.create("main.before", { text: "" });
    await until(() => seen.includes("main.before"), "the record before");
    await broker[how]();
    await until(
      () =>
        writer.create("main.after", { text: "" }).then(
          () => true,
          (thrown: Fault) => thrown.name === "Conflict",
        ),
      "a write after it",
      20_000,
    );
    await until(() => seen.includes("main.after"), "the record after", 20_000);
    const revision = (await writer.get("main.after"))?.revision ?? 0;
    await writer.remove("main.after", revision);
    await until(() => seen.filter((key) => key === "main.after").length === 2, "its removal", 20_000);
    t.deepEqual(seen, ["main.before", "main.after", "main.after"]);
    t.false(nc.isClosed());
  });
}

test("storage is prepared once, by three at once and again, and opened by nodes that may not make it", async (t) => {
  const broker = await startTestBroker(t);
  const nc = await join(t, broker, "scheduler");
  const log = recordLog();
  const frontend = await join(t, broker, "frontend");
  t.is(await faultOf((await openBucket<Row>(frontend, BUCKET.functions, log)).get("main.a")), "Unavailable");
  await Promise.all([prepareStorage(nc), prepareStorage(nc), prepareStorage(nc)]);
  await prepareStorage(nc);
  const jsm = await nc.jetstreamManager();
  const names: string[] = [];
  for await (const stream of jsm.streams.list()) {
    names.push(stream.config.name);
    if (stream.config.name.startsWith("KV_")) t.false(stream.config.allow_direct, stream.config.name);
  }
  const expected = [
    ...Object.values(BUCKET).map((name) => `KV_${name}`),
    ...Object.values(OBJECTS).map((name) => `OBJ_${name}`),
    ...Object.values(STREAM),
  ];
  t.deepEqual(names.sort(), expected.sort());
  t.is((await jsm.streams.info(`OBJ_${OBJECTS.inline}`)).config.max_age, 3_600_000 * 1_000_000);

  const account = { name: "main", containers: 1, active: true, createdAt: 1 };
  const mine = await openBuckets(nc, log);
  await mine.accounts.create("main", account);
  const theirs = await openBuckets(frontend, log);
  t.deepEqual((await theirs.accounts.get("main"))?.value, account);
  const seen: string[] = [];
  const watch = await theirs.accounts.watch((key) => seen.push(key));
  watch.stop();
  t.deepEqual(seen, ["main"]);
  t.not(await faultOf(theirs.accounts.create("evil", account)), "nothing", "a frontend cannot write");
});

test("a limit that changed is brought to storage that is there, and its data stays", async (t) => {
  const { nc, bucket } = await start(t);
  await bucket.create("main.a", { text: "kept" });
  const jsm = await nc.jetstreamManager();
  const { config } = await jsm.streams.info(STREAM.calls);
  await jsm.streams.update(STREAM.calls, { ...config, max_bytes: 1_000_000 });
  const bodies = `OBJ_${OBJECTS.bodies}`;
  await jsm.streams.update(bodies, { ...(await jsm.streams.info(bodies)).config, max_msgs: -1 });
  await prepareStorage(nc);
  t.is((await jsm.streams.info(bodies)).config.max_msgs, LIMITS.bodyPartsKept.value);
  t.is((await jsm.streams.info(STREAM.calls)).config.max_bytes, config.max_bytes);
  t.is((await bucket.get("main.a"))?.value.text, "kept");
});

test("parts of large bodies are bounded in number too, however small they are; what is there can be read", async (t) => {
  const { nc } = await start(t);
  const jsm = await nc.jetstreamManager();
  const stream = `OBJ_${OBJECTS.bodies}`;
  await jsm.streams.update(stream, { ...(await jsm.streams.info(stream)).config, max_msgs: 3 });
  const store = openPartStore(nc, watched(t, nc));
  const id = (nth: number): string => String(nth).padStart(32, "0");
  for (const nth of [1, 2, 3]) await store.put("main", id(nth), 0, new Uint8Array([nth]));
  t.is(await faultOf(store.put("main", id(4), 0, new Uint8Array([4]))), "Throttled");
  t.deepEqual(await store.get("main", id(3), 0), Buffer.from([3]));
});

test("of the store of large bodies no account gets more than its share, whichever nodes store for it; others store on", async (t) => {
  const { broker, nc } = await start(t);
  const [one, two] = await Promise.all([join(t, broker, "frontend"), join(t, broker, "host")]);
  const most = 8;
  const share: BodyShare = { bytes: most * LIMITS.bodyPart.value, parts: 1_000, messages: 1_000 };
  const watches = [watched(t, one, share), watched(t, two, share)] as const;
  const stores = [openPartStore(one, watches[0]), openPartStore(two, watches[1])] as const;
  const id = (nth: number): string => String(nth).padStart(32, "0");
  const part = new Uint8Array(LIMITS.bodyPart.value);
  // Published past any node, as those of another release do.
  for (let nth = 0; nth < most; nth++) await nc.jetstream().publish(`$O.${OBJECTS.bodies}.C.main.${id(nth)}.0`, part);
  for (const watch of watches) await until(() => watch.refusal(`main.${id(most)}.0`, part.length), "the watch to have seen it all", 30_000);
  const refused = await stores[0].put("main", id(most), 0, part).catch((thrown: unknown) => Fault.from(thrown));
  t.is(refused?.name, "Throttled");
  t.is(refused?.details?.["limit"], "accountBodies");
  t.is(await faultOf(stores[1].put("main", id(most), 0, part)), "Throttled");
  // What is there already may be sent again.
  t.is(await faultOf(stores[0].put("main", id(1), 0, part)), "nothing");
  t.is(await faultOf(stores[1].put("other", id(most), 0, part)), "nothing");
  await stores[1].drop("main", id(0), 1);
  const fits = async () => (await faultOf(stores[0].put("main", id(most), 0, part))) === "nothing";
  await until(fits, "room after a removal", 10_000);
  // After a lost connection the picture is made anew.
  await broker.crash();
  await until(() => watches[1].refusal(`main.${id(most + 1)}.0`, part.length), "the second to know it after the crash", 30_000);
  t.is(await faultOf(stores[1].put("main", id(most + 1), 0, part)), "Throttled");
});

test("a watch of the store that cannot begin leaves no subscription behind, however often it tries", async (t) => {
  const config = (rights: string) => `jetstream { store_dir: STORE }
    authorization { users: [{ user: maker, password: "1" }, { user: node, password: "1"${rights} }] }`;
  const server = await serveForeign(t, config(`, permissions: { publish: { deny: ["$JS.API.CONSUMER.INFO.>"] } }`));
  const maker = await connect({ servers: server.url, user: "maker", pass: "1" });
  t.teardown(() => maker.close());
  await prepareStorage(maker);
  const nc = await connect({ servers: server.url, user: "node", pass: "1" });
  t.teardown(() => nc.close());
  let tries = 0;
  maker.subscribe(`$JS.API.CONSUMER.CREATE.>`, { callback: () => (tries += 1) });
  await maker.flush();
  watched(t, nc);
  await until(() => tries >= 6, "six tries", 30_000);
  // The library tells nobody: one may be open now, beside the one for answers.
  const subscriptions = (nc as unknown as { protocol: { subscriptions: { size(): number } } }).protocol.subscriptions.size();
  t.true(subscriptions <= 2, `${subscriptions} subscriptions after ${tries} tries`);
});

test("a part that is read while nobody answers for its store waits until somebody does", async (t) => {
  const { nc } = await start(t);
  const jsm = await nc.jetstreamManager();
  const store = openPartStore(nc, watched(t, nc));
  await store.put("main", "0".repeat(32), 0, new Uint8Array([1, 2]));
  const stream = `OBJ_${OBJECTS.bodies}`;
  // To its readers it is then as a store is that has lost its servers: no responders.
  await jsm.streams.update(stream, { allow_direct: false });
  const got = store.get("main", "0".repeat(32), 0).then(Buffer.from, (thrown: unknown) => thrown);
  await nc.flush();
  await jsm.streams.update(stream, { allow_direct: true });
  t.deepEqual(await got, Buffer.from([1, 2]));
});

test("what a host stored of a large result that it gives up is removed", async (t) => {
  const { broker, nc } = await start(t);
  const jsm = await nc.jetstreamManager();
  const control = new AbortController();
  const watcher = await join(t, broker, "operator");
  const first = () => control.abort(new Fault("Unavailable", "it takes too long"));
  watcher.subscribe(`$O.${OBJECTS.bodies}.C.>`, { max: 1, callback: first });
  await watcher.flush();
  t.is(
    await faultOf(openBodyStore(nc, watched(t, nc)).write("main", new Uint8Array(LIMITS.largeBody.value), control.signal)),
    "Unavailable",
  );
  const stream = `OBJ_${OBJECTS.bodies}`;
  await until(async () => {
    const { state } = await jsm.streams.info(stream);
    return state.messages > 0 && state.bytes < LIMITS.bodyPart.value ? true : undefined;
  }, "the parts to be removed");
});

test("removing from a bucket that nobody watches leaves nothing", async (t) => {
  const { nc } = await start(t);
  const { versions } = await openBuckets(nc, recordLog());
  const record = {
    account: "main",
    name: "f",
    version: 1,
    runtime: "node",
    handler: "handler",
    digest: "0".repeat(64),
    bytes: 1,
    hasMap: false,
    environment: {},
    network: false,
    createdAt: 1,
  } as const;
  await versions.create("main.f.1", record);
  await versions.create("main.f.11", { ...record, version: 11 });
  await versions.remove("main.f.1");
  await versions.remove("main.f.1");
  const jsm = await nc.jetstreamManager();
  t.is((await jsm.streams.info(`KV_${BUCKET.versions}`)).state.messages, 1);
  t.deepEqual((await versions.get("main.f.11"))?.value.version, 11);
  t.is(await versions.get("main.f.1"), undefined);
});

test("when the broker is gone the answer is Unavailable", async (t) => {
  const { broker, bucket } = await start(t);
  await broker.stop();
  t.is(await faultOf(bucket.get("main.a")), "Unavailable");
});

test("a node that starts before the storage is made waits for it", async (t) => {
  const broker = await startTestBroker(t);
  const log = recordLog();
  const frontend = await openBuckets(await join(t, broker, "frontend"), log);
  const watching = frontend.functions.watch(() => undefined);
  await until(() => log.find("warn", "begun again").length > 0, "a watch that has to wait");
  await prepareStorage(await join(t, broker, "scheduler"));
  const watch = await watching;
  watch.stop();
  t.pass();
});
