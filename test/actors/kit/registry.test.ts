import test from "ava";
import fc from "fast-check";
import { openRegistry, type RegistryChange } from "../../../actors/kit/registry.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { AccountRecord, FunctionRecord, VersionRecord } from "../../../protocol/vocabulary.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";
import { recordLog } from "../../support/record-log.ts";

const settings = { memoryMb: 128, timeoutMs: 1, keepAliveMs: 1, direct: true, idempotent: false, containers: 1 };
const record = (name: string, newest = 1): FunctionRecord => ({
  account: "main",
  name,
  settings,
  aliases: { live: [{ version: newest, weight: 100 }] },
  newest,
  versions: [newest],
  createdAt: 0,
  changedAt: 0,
});
const version = (name: string, number: number): VersionRecord => ({
  account: "main",
  name,
  version: number,
  runtime: "node",
  handler: "h",
  digest: "a".repeat(64),
  bytes: 1,
  hasMap: false,
  environment: {},
  network: false,
  createdAt: 0,
});

async function start(fill: (buckets: { functions: MemoryBucket<FunctionRecord> }) => Promise<void> = async () => undefined) {
  const clock = new ManualClock();
  const log = recordLog();
  const buckets = {
    functions: new MemoryBucket<FunctionRecord>(),
    versions: new MemoryBucket<VersionRecord>(),
    accounts: new MemoryBucket<AccountRecord>(),
  };
  await fill(buckets);
  return { clock, log, ...buckets, registry: await openRegistry(buckets, clock, log) };
}

test("ten thousand functions are there when it is open, and changes follow", async (t) => {
  const { registry, functions, clock } = await start(async ({ functions }) => {
    for (let nth = 0; nth < 10_000; nth++) await functions.create(`main.f${nth}`, record(`f${nth}`));
  });
  t.is([...registry.functions()].length, 10_000);
  t.is(registry.function("main", "f9999")?.name, "f9999");
  const stored = await functions.get("main.f1");
  await functions.update("main.f1", record("f1", 2), stored?.revision ?? 0);
  await functions.remove("main.f2");
  await clock.settle();
  t.is(registry.function("main", "f1")?.newest, 2);
  t.is(registry.function("main", "f2"), undefined);
});

test("whatever the order of watch, sync and read, the record of the highest revision stays", async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("write" as const) }),
    fc.record({ kind: fc.constant("remove" as const) }),
    fc.record({ kind: fc.constant("sync" as const), which: fc.nat(40) }),
    fc.record({ kind: fc.constant("hold" as const) }),
    fc.record({ kind: fc.constant("release" as const) }),
    fc.record({ kind: fc.constant("read" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { registry, functions, clock } = await start();
      const history: { revision: number; record: FunctionRecord | null }[] = [];
      let told = 0;
      let heard = 0;
      registry.onChange(({ record }) => {
        const newest = record && "newest" in record ? record.newest : heard;
        t.true(newest >= heard, "an older record came back");
        heard = newest;
      });
      for (const step of steps) {
        const stored = await functions.get("main.f");
        if (step.kind === "write") {
          const next = record("f", history.length + 1);
          history.push({
            record: next,
            revision: stored ? await functions.update("main.f", next, stored.revision) : await functions.create("main.f", next),
          });
        } else if (step.kind === "remove" && stored) {
          await functions.remove("main.f", stored.revision);
          history.push({ record: null, revision: stored.revision + 1 });
        } else if (step.kind === "sync" && history.length > 0) {
          const one = history[step.which % history.length];
          if (one) {
            registry.sync({ function: { key: "main.f", ...one } });
            told = Math.max(told, one.revision);
          }
        } else if (step.kind === "hold") functions.holdWatches();
        else if (step.kind === "release") {
          functions.releaseWatches();
          await clock.settle();
          told = history.at(-1)?.revision ?? 0;
        } else if (step.kind === "read") await registry.readThrough("main", "f");
        const known = registry.function("main", "f");
        const atLeast = history.find((one) => one.revision === told);
        if (known && atLeast?.record) t.true(known.newest >= atLeast.record.newest);
      }
      functions.releaseWatches();
      await clock.settle();
      t.deepEqual(registry.function("main", "f"), (await functions.get("main.f"))?.value);
    }),
    { numRuns: 300 },
  );
});

test("a sync that is older than what is known is ignored, also after a removal", async (t) => {
  const { registry, functions, clock } = await start();
  const first = await functions.create("main.f", record("f", 1));
  const second = await functions.update("main.f", record("f", 2), first);
  await clock.settle();
  registry.sync({ function: { key: "main.f", revision: first, record: record("f", 1) } });
  t.is(registry.function("main", "f")?.newest, 2);
  registry.sync({ function: { key: "main.f", revision: second + 1, record: null } });
  t.is(registry.function("main", "f"), undefined);
  registry.sync({ function: { key: "main.f", revision: second, record: record("f", 2) } });
  t.is(registry.function("main", "f"), undefined);
});

test("an unknown name is read once, however many ask, and believed absent for its time only", async (t) => {
  const { registry, functions, clock } = await start();
  functions.holdWatches();
  const before = functions.counts.get;
  t.deepEqual(await Promise.all(Array.from({ length: 100 }, () => registry.readThrough("main", "f"))), Array(100).fill(undefined));
  t.is(functions.counts.get - before, 1);
  await functions.create("main.f", record("f"));
  t.is(await registry.readThrough("main", "f"), undefined);
  t.is(functions.counts.get - before, 1);
  await clock.advance(LIMITS.absentName.value);
  t.is((await registry.readThrough("main", "f"))?.name, "f");
  t.is(functions.counts.get - before, 2);
  t.is(registry.function("main", "f")?.name, "f", "what was read is known");
});

test("a name that was absent is there as soon as a sync or the watch brings it", async (t) => {
  const { registry, functions, clock } = await start();
  t.is(await registry.readThrough("main", "f"), undefined);
  const revision = await functions.create("main.f", record("f"));
  registry.sync({ function: { key: "main.f", revision, record: record("f") } });
  t.is((await registry.readThrough("main", "f"))?.name, "f");
  t.is(await registry.readThrough("main", "g"), undefined);
  await functions.create("main.g", record("g"));
  await clock.settle();
  t.is((await registry.readThrough("main", "g"))?.name, "g");
});

test("a read that was overtaken by a sync answers with what the sync brought", async (t) => {
  const { registry, functions } = await start();
  functions.holdWatches();
  let go: () => void = () => undefined;
  const get = functions.get.bind(functions);
  functions.get = async (key) => {
    const answer = await get(key);
    await new Promise<void>((resolve) => (go = resolve));
    return answer;
  };
  const reading = registry.readThrough("main", "f");
  await new Promise((resolve) => setImmediate(resolve));
  const revision = await functions.create("main.f", record("f"));
  registry.sync({ function: { key: "main.f", revision, record: record("f") } });
  go();
  t.is((await reading)?.name, "f");
  t.is((await registry.readThrough("main", "f"))?.name, "f");
});

test("remembered absences are bounded: the oldest is forgotten", async (t) => {
  const { registry, functions } = await start();
  const most = LIMITS.absentNames.value;
  for (let nth = 0; nth <= most; nth++) await registry.readThrough("main", `f${nth}`);
  const before = functions.counts.get;
  await registry.readThrough("main", `f${most}`);
  await registry.readThrough("main", "f1");
  t.is(functions.counts.get, before, "still remembered");
  await registry.readThrough("main", "f0");
  t.is(functions.counts.get, before + 1, "forgotten");
});

test("reads of unknown names under way are bounded, and a failed one is not an absence", async (t) => {
  const { registry, functions } = await start();
  const waiting: (() => void)[] = [];
  functions.before = () => new Promise<void>((resolve) => waiting.push(resolve));
  const reads = Array.from({ length: LIMITS.registryReads.value }, (_, nth) => registry.readThrough("main", `f${nth}`));
  await t.throwsAsync(registry.readThrough("main", "one-more"), { name: "Throttled" });
  for (const go of waiting) go();
  await Promise.all(reads);
  functions.before = () => {
    throw new Fault("Unavailable", "the leader is away");
  };
  await t.throwsAsync(registry.readThrough("main", "g"), { name: "Unavailable" });
  functions.before = () => undefined;
  await functions.create("main.g", record("g"));
  t.is((await registry.readThrough("main", "g"))?.name, "g");
});

test("versions are read once and kept, the least recently used goes first", async (t) => {
  const { registry, versions } = await start();
  const most = LIMITS.versionsCached.value;
  for (let number = 1; number <= most + 1; number++) await versions.create(`main.f.${number}`, version("f", number));
  const before = versions.counts.get;
  const twice = await Promise.all([registry.version("main", "f", 1), registry.version("main", "f", 1)]);
  t.deepEqual(
    twice.map((one) => one?.version),
    [1, 1],
  );
  t.is(versions.counts.get - before, 1);
  for (let number = 2; number <= most; number++) await registry.version("main", "f", number);
  await registry.version("main", "f", 1); // used again
  await registry.version("main", "f", most + 1); // one too many: 2 goes
  const after = versions.counts.get;
  await registry.version("main", "f", 1);
  t.is(versions.counts.get, after);
  await registry.version("main", "f", 2);
  t.is(versions.counts.get, after + 1);
  t.is(await registry.version("main", "f", 999_999), undefined);
});

test("listeners hear of every change once; one that throws disturbs nobody", async (t) => {
  const { registry, functions, accounts, clock, log } = await start();
  const heard: RegistryChange[] = [];
  registry.onChange(() => {
    throw new Error("listener");
  });
  const stop = registry.onChange((change) => heard.push(change));
  const revision = await functions.create("main.f", record("f"));
  registry.sync({ function: { key: "main.f", revision, record: record("f") } });
  await accounts.create("main", { name: "main", containers: 1, active: true, createdAt: 0 });
  await functions.remove("main.f", revision);
  await clock.settle();
  t.deepEqual(heard.map((change) => [change.kind, change.account, change.record !== undefined]).sort(), [
    ["account", "main", true],
    ["function", "main", false],
    ["function", "main", true],
  ]);
  stop();
  await functions.create("main.g", record("g"));
  await clock.settle();
  t.is(heard.length, 3);
  t.true(log.find("error").length >= 3);
  registry.stop();
});

test("a bucket that cannot be watched is said, and nothing stays open", async (t) => {
  const clock = new ManualClock();
  const functions = new MemoryBucket<FunctionRecord>();
  const accounts = new MemoryBucket<AccountRecord>();
  accounts.watch = () => Promise.reject(new Fault("Unavailable", "no leader"));
  await t.throwsAsync(openRegistry({ functions, accounts, versions: new MemoryBucket<VersionRecord>() }, clock, recordLog()), {
    name: "Unavailable",
  });
});
