import { createHash, randomBytes } from "node:crypto";
import test, { type ExecutionContext } from "ava";
import { connect } from "nats";
import { openCodeStore } from "../../../nodes/io/code/store.ts";
import { startTestBroker } from "../../support/nats-server.ts";

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function setUp(t: ExecutionContext) {
  const broker = await startTestBroker(t);
  const dial = async (role: "scheduler" | "host") => {
    const nc = await connect({ ...broker.credentials(role), reconnect: false });
    t.teardown(() => nc.close());
    return nc;
  };
  const nc = await dial("scheduler");
  const store = await openCodeStore(nc);
  return { nc, store, host: await openCodeStore(await dial("host")) };
}

test("code and map are stored once and read by a host, whatever their size", async (t) => {
  const { store, host } = await setUp(t);
  for (const size of [0, 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_000, 64 * 1024 * 1024]) {
    const code = randomBytes(size);
    const digest = digestOf(code);
    const map = Buffer.from(`{"size":${size}}`);
    t.false(await host.has(digest));
    t.true(await store.put({ digest, code, map }));
    t.false(await store.put({ digest, code, map }));
    t.true(await host.has(digest));
    t.true(Buffer.from(await host.get(digest)).equals(code), `${size} bytes`);
    t.deepEqual(Buffer.from((await host.map(digest)) ?? []), map);
  }
  t.is(store.counts.uploads, 12);
  t.is(host.counts.downloads, 12);
});

test("what is not there is NotFound, removed code is gone with its map, and a wrong digest is refused", async (t) => {
  const { store, host } = await setUp(t);
  const code = Buffer.from("code");
  const digest = digestOf(code);
  t.is((await t.throwsAsync(host.get(digest)))?.name, "NotFound");
  t.is(await host.map(digest), undefined);
  await store.remove(digest);
  await store.put({ digest, code, map: Buffer.from("{}") });
  await store.remove(digest);
  t.false(await host.has(digest));
  t.is(await host.map(digest), undefined);
  t.true(await store.put({ digest, code }));
  t.is(await host.map(digest), undefined);
  t.is((await t.throwsAsync(store.put({ digest: digestOf(Buffer.from("x")), code })))?.name, "BadRequest");
  t.is((await t.throwsAsync(store.get("../x")))?.name, "BadRequest");
  t.is(
    (await t.throwsAsync(host.put({ digest: digestOf(Buffer.from("by a host")), code: Buffer.from("by a host") })))?.name,
    "Unavailable",
  );
});

test("content with another digest is CodeUnavailable and counted; code without its chunks does not hang", async (t) => {
  const { store, nc, host } = await setUp(t);
  const objects = await nc.jetstream().views.os("pilot_code");
  const digest = digestOf(Buffer.from("right"));
  await objects.putBlob({ name: digest }, Buffer.from("wrong"));
  t.is((await t.throwsAsync(host.get(digest)))?.name, "CodeUnavailable");
  t.is(host.counts.corrupt, 2);
  t.true(await store.put({ digest, code: Buffer.from("right") }));
  t.is(Buffer.from(await host.get(digest)).toString(), "right");
  const code = randomBytes(3_000_000);
  await store.put({ digest: digestOf(code), code });
  const manager = await nc.jetstreamManager();
  await manager.streams.purge("OBJ_pilot_code", { filter: "$O.pilot_code.C.*" });
  t.is((await t.throwsAsync(host.get(digestOf(code))))?.name, "CodeUnavailable");
});

test("many that store the same code at once all succeed, and it is readable", async (t) => {
  const { store } = await setUp(t);
  const code = randomBytes(100_000);
  const digest = digestOf(code);
  await Promise.all(Array.from({ length: 8 }, () => store.put({ digest, code })));
  t.true(Buffer.from(await store.get(digest)).equals(code));
});

test("code of one chunk is stored once and read with one request; any client of the bucket can read it too", async (t) => {
  const { nc, store, host } = await setUp(t);
  const code = randomBytes(10_000);
  const digest = digestOf(code);
  await Promise.all(Array.from({ length: 8 }, () => store.put({ digest, code })));
  const manager = await nc.jetstreamManager();
  const subject = `$O.pilot_code.C.${digest}`;
  const { state } = await manager.streams.info("OBJ_pilot_code", { subjects_filter: subject });
  t.deepEqual(state.subjects, { [subject]: 1 });
  const objects = await nc.jetstream().views.os("pilot_code");
  t.true(Buffer.from((await objects.getBlob(digest)) ?? []).equals(code));
  // Without its description nothing else could find it.
  await manager.streams.purge("OBJ_pilot_code", { filter: "$O.pilot_code.M.*" });
  t.true(Buffer.from(await host.get(digest)).equals(code));
});

test("code that other clients of the bucket stored, and code stored again after its removal, is read", async (t) => {
  const { nc, store, host } = await setUp(t);
  const objects = await nc.jetstream().views.os("pilot_code");
  const code = randomBytes(10_000);
  const digest = digestOf(code);
  await objects.putBlob({ name: digest }, code);
  t.false(await store.put({ digest, code }));
  t.true(Buffer.from(await host.get(digest)).equals(code));
  for (let round = 0; round < 3; round += 1) {
    await store.remove(digest);
    t.is((await t.throwsAsync(host.get(digest)))?.name, "NotFound");
    t.true(await store.put({ digest, code }));
    t.true(Buffer.from(await host.get(digest)).equals(code));
  }
});
