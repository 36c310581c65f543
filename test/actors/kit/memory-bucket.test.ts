import test from "ava";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";

test("a memory bucket reads, creates, updates by revision and removes", async (t) => {
  const bucket = new MemoryBucket<{ text: string; gone?: string | undefined }>();
  const first = await bucket.create("main.a", { text: "one", gone: undefined });
  t.deepEqual(await bucket.get("main.a"), { key: "main.a", value: { text: "one" }, revision: first });
  await t.throwsAsync(bucket.create("main.a", { text: "two" }), { name: "Conflict" });
  const second = await bucket.update("main.a", { text: "two" }, first);
  await t.throwsAsync(bucket.update("main.a", { text: "three" }, first), { name: "Conflict" });
  await t.throwsAsync(bucket.remove("main.a", first), { name: "Conflict" });
  await bucket.remove("main.a", second);
  t.is(await bucket.get("main.a"), undefined);
  t.true((await bucket.create("main.a", { text: "again" })) > second + 1);
  await t.throwsAsync(bucket.get("main.*"), { name: "BadRequest" });
  t.deepEqual(bucket.keys(), ["main.a"]);
});

test("a watch has what is present, then changes in order; held ones come when released", async (t) => {
  const clock = new ManualClock();
  const bucket = new MemoryBucket<string>();
  await bucket.create("a", "1");
  const seen: string[] = [];
  const watch = await bucket.watch((key, value, revision) => seen.push(`${key}=${value}#${revision}`));
  t.deepEqual(seen, ["a=1#1"]);
  bucket.holdWatches();
  await bucket.create("b", "2");
  await bucket.remove("a");
  await clock.settle();
  t.is(seen.length, 1);
  bucket.releaseWatches();
  await clock.settle();
  t.deepEqual(seen.slice(1), ["b=2#2", "a=undefined#3"]);
  watch.stop();
  await bucket.create("c", "3");
  await clock.settle();
  t.is(seen.length, 3);
});

test("a fault before an operation is its rejection", async (t) => {
  const bucket = new MemoryBucket<string>();
  bucket.before = (operation) => {
    if (operation === "create") throw new Error("no");
  };
  await t.throwsAsync(bucket.create("a", "1"), { message: "no" });
  t.is(await bucket.get("a"), undefined);
  t.deepEqual(bucket.counts, { get: 1, create: 1, update: 0, put: 0, remove: 0 });
});
