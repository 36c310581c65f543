import { createHash } from "node:crypto";
import { chmod, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import type { CodeCache } from "../../../actors/host/code.ts";
import { openCodeCache } from "../../../nodes/io/code/cache.ts";
import { Fault } from "../../../protocol/errors.ts";
import { temporaryDirectory } from "../../support/temp.ts";
import { until } from "../../support/until.ts";

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A store of pieces of code by number, and a cache over it. */
async function setUp(t: ExecutionContext, { limitBytes = 1_000_000_000, memoryBytes = 1_000_000_000, directory = "" } = {}) {
  const place = directory === "" ? await temporaryDirectory(t) : directory;
  const codes = new Map<string, Uint8Array>();
  const troubles: string[] = [];
  let clock = 0;
  const state = { fetches: 0, before: async (): Promise<void> => undefined };
  const code = (n: number, size = 1_000): string => {
    const bytes = Buffer.alloc(size, `code ${n} `);
    codes.set(digestOf(bytes), bytes);
    return digestOf(bytes);
  };
  const open = () =>
    openCodeCache({
      directory: place,
      limitBytes,
      memoryBytes,
      now: () => (clock += 1),
      trouble: (message) => troubles.push(message),
      async fetch(digest) {
        state.fetches += 1;
        await state.before();
        const bytes = codes.get(digest);
        if (bytes === undefined) throw new Fault("NotFound", digest);
        return bytes;
      },
    });
  const cache = await open();
  return { cache, reopen: open, place, code, codes, state, troubles, stored: () => stored(cache) };
}

/** Small code is handed out before its file is written. */
const stored = (cache: CodeCache): Promise<unknown> => until(() => cache.list().every(({ onDisk }) => onDisk), "the files being written");

test("F012 code that is here is taken without a download, and F013 many that ask at once share one", async (t) => {
  const { cache, code, state, codes, place, stored } = await setUp(t);
  const digest = code(1);
  t.false(cache.has(digest));
  const taken = await Promise.all(Array.from({ length: 20 }, () => cache.take(digest)));
  t.is(state.fetches, 1);
  t.is(cache.counts().downloads, 1);
  t.true(cache.has(digest));
  for (const one of taken) t.deepEqual(one.bytes, codes.get(digest));
  await stored();
  t.deepEqual(await readFile(join(place, digest)), Buffer.from(codes.get(digest) ?? []));
  t.is(cache.list()[0]?.held, 20);
  for (const one of taken) one.release();
  taken[0]?.release();
  t.is(cache.list()[0]?.held, 0);
  t.false((await cache.take(digest)).downloaded);
  t.is(cache.counts().downloads, 1);
});

test("large code is a file and not kept in memory", async (t) => {
  const { cache, code } = await setUp(t);
  const digest = code(1, 3 * 1024 * 1024);
  const first = await cache.take(digest);
  t.is(first.bytes, undefined);
  t.is((await readFile(first.path ?? "")).length, 3 * 1024 * 1024);
  t.is((await cache.take(digest)).path, first.path);
  t.is(cache.counts().downloads, 1);
});

test("a failed or wrong download is told to all that wait and the next take tries again", async (t) => {
  const { cache, code, codes, state } = await setUp(t);
  const digest = code(1);
  const right = codes.get(digest) ?? new Uint8Array();
  codes.delete(digest);
  const outcomes = await Promise.allSettled([cache.take(digest), cache.take(digest)]);
  t.deepEqual(
    outcomes.map((one) => one.status === "rejected" && (one.reason as Fault).name),
    ["NotFound", "NotFound"],
  );
  codes.set(digest, Buffer.from("another content"));
  t.is((await t.throwsAsync(cache.take(digest)))?.name, "CodeUnavailable");
  codes.set(digest, right);
  t.deepEqual((await cache.take(digest)).bytes, right);
  t.is(state.fetches, 3);
  for (const bad of ["", "../../etc/passwd", digest.toUpperCase(), `${digest}\n`])
    t.is((await t.throwsAsync(cache.take(bad)))?.name, "BadRequest");
});

test("files are found again after a restart; damaged, cut and half-written ones are fetched again", async (t) => {
  const { cache, code, place, reopen, state, stored: first } = await setUp(t);
  const digests = [code(1), code(2), code(3), code(4, 2 * 1024 * 1024)];
  for (const digest of digests) (await cache.take(digest)).release();
  await first();
  const [whole = "", damaged = "", cut = "", large = ""] = digests;
  for (const digest of [damaged, cut, large]) await chmod(join(place, digest), 0o600);
  await writeFile(join(place, damaged), "x".repeat(1_000));
  await truncate(join(place, cut), 10);
  await writeFile(join(place, large), Buffer.alloc(2 * 1024 * 1024));
  await writeFile(join(place, "tmp-1-1"), "half");
  await writeFile(join(place, "notes"), "not ours");
  const again = await reopen();
  t.is(again.list().length, 4);
  for (const digest of digests) {
    const taken = await again.take(digest);
    t.is(digestOf(taken.bytes ?? (await readFile(taken.path ?? ""))), digest);
    t.is(taken.downloaded, digest !== whole);
  }
  await stored(again);
  for (const digest of digests) t.is(digestOf(await readFile(join(place, digest))), digest);
  t.is(state.fetches, 7);
  t.is(again.counts().corrupt, 3);
  t.is(again.counts().bytes, 3_000 + 2 * 1024 * 1024);
  t.deepEqual((await readdir(place)).sort(), [...digests, "notes"].sort());
});

test("the least recently used code goes first, and what is held stays even over the bound", async (t) => {
  const { cache, code, place, stored } = await setUp(t, { limitBytes: 3_000 });
  const [a, b, c, d, e] = [code(1), code(2), code(3), code(4), code(5)];
  const held = await cache.take(a);
  for (const digest of [b, c]) (await cache.take(digest)).release();
  await stored();
  (await cache.take(b)).release();
  (await cache.take(d)).release();
  await until(() => !cache.has(c), "the oldest code being removed");
  t.deepEqual(
    [a, b, c, d].map((digest) => cache.has(digest)),
    [true, true, false, true],
  );
  const more = await Promise.all([b, d, e].map((digest) => cache.take(digest)));
  await stored();
  t.is(cache.counts().bytes, 4_000);
  for (const one of [held, ...more]) t.is((await readFile(join(place, one.digest))).length, 1_000);
  held.release();
  await until(() => cache.counts().bytes === 3_000, "the bytes going down to the bound");
  t.false(cache.has(a));
  await until(async () => (await readdir(place)).length === 3, "its file being removed");
});

test("cached data is kept per account, survives a restart and goes with its code", async (t) => {
  const { cache, code, place, reopen, stored } = await setUp(t, { limitBytes: 3_000, memoryBytes: 0 });
  const digest = code(1);
  await cache.keepCached(digest, "main", Buffer.from("too early"));
  t.is(await cache.cached(digest, "main"), undefined);
  (await cache.take(digest)).release();
  await stored();
  const data = Buffer.from("v8 data");
  await cache.keepCached(digest, "main", data);
  await cache.keepCached(digest, "../evil", data);
  t.deepEqual(await cache.cached(digest, "main"), data);
  t.is(await cache.cached(digest, "other"), undefined);
  t.deepEqual(cache.list()[0]?.cachedFor, ["main"]);
  const again = await reopen();
  t.deepEqual(await again.cached(digest, "main"), data);
  const file = join(place, `${digest}.main.v8`);
  await chmod(file, 0o600);
  await writeFile(file, `${"0".repeat(64)}v8 data`);
  t.is(await (await reopen()).cached(digest, "main"), undefined);
  await again.keepCached(digest, "main", data);
  for (const n of [2, 3, 4]) (await again.take(code(n))).release();
  await until(() => !again.has(digest), "the code being removed");
  t.is(await again.cached(digest, "main"), undefined);
  await until(async () => !(await readdir(place)).some((name) => name.startsWith(digest)), "its files being removed");
});

test("a disk that refuses costs no answer: code comes from memory, and it is said", async (t) => {
  const base = await temporaryDirectory(t);
  await writeFile(join(base, "file"), "");
  // No directory can be made below a file, whoever asks.
  const { cache, code, codes, troubles, state } = await setUp(t, {
    directory: join(base, "file", "cache"),
    memoryBytes: 4_000_000,
  });
  const small = code(1);
  const large = code(2, 2 * 1024 * 1024);
  for (const digest of [small, large]) {
    const taken = await cache.take(digest);
    t.is(taken.path, undefined);
    t.deepEqual(taken.bytes, codes.get(digest));
    taken.release();
    t.deepEqual((await cache.take(digest)).bytes, codes.get(digest));
  }
  t.is(state.fetches, 2);
  t.true(cache.counts().diskFailures > 0);
  t.regex(troubles[0] ?? "", /could not be opened: .*Code is served from memory/);
  t.is(cache.counts().bytes, 0);
});

test("a file that somebody removed is fetched again", async (t) => {
  const { cache, code, place, stored } = await setUp(t, { memoryBytes: 0 });
  for (const size of [1_000, 2 * 1024 * 1024]) {
    const digest = code(size, size);
    (await cache.take(digest)).release();
    await stored();
    await rm(join(place, digest));
    t.true((await cache.take(digest)).downloaded);
    await stored();
    t.is((await readFile(join(place, digest))).length, size);
  }
});

test("in any order of takes and releases every answer is right, held code stays and the bound is kept", async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ n: fc.integer({ min: 0, max: 5 }), keep: fc.nat(3), wait: fc.boolean() }), {
        maxLength: 40,
      }),
      async (steps) => {
        const { cache, code, codes, place, stored } = await setUp(t, { limitBytes: 3_000, memoryBytes: 1_500 });
        const running: Promise<void>[] = [];
        for (const { n, keep, wait } of steps) {
          const digest = code(n);
          const run = cache.take(digest).then(async (taken) => {
            for (let turn = 0; turn < keep; turn += 1) await new Promise(setImmediate);
            t.deepEqual(taken.bytes, codes.get(digest));
            if (taken.path !== undefined) t.is(digestOf(await readFile(taken.path)), digest);
            taken.release();
          });
          running.push(run);
          if (wait) await run;
        }
        await Promise.all(running);
        await stored();
        await until(() => cache.counts().bytes <= 3_000, "the bytes going down to the bound");
        await until(async () => (await readdir(place)).length === cache.list().length, "one file per entry");
        t.true(cache.list().every(({ held }) => held === 0));
      },
    ),
    { numRuns: 25 },
  );
});

test("whoever waits for small code does not wait for its file; only when that is written may it be removed", async (t) => {
  // Its own size above the bound, so that nothing but its being written keeps it.
  const { cache, code, codes, place, stored, state } = await setUp(t, { limitBytes: 500, memoryBytes: 0 });
  const digest = code(1);
  const taken = await cache.take(digest);
  t.is(taken.path, undefined);
  t.deepEqual(taken.bytes, codes.get(digest));
  taken.release();
  t.true(cache.has(digest));
  // While it is written it is served from memory.
  t.deepEqual((await cache.take(digest)).bytes, codes.get(digest));
  t.is(state.fetches, 1);
  await stored();
  t.is((await readFile(join(place, digest))).length, 1_000);
});
