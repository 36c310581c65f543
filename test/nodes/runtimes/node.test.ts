import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "ava";
import { FRAME } from "../../../protocol/frames.ts";
import { bundle, loaded, NOTHING, start, thrown } from "./drive.ts";

const isLoaded = (frame: { type: number }): boolean => frame.type === FRAME.loaded;

test("node: cached data is made once, accepted by the next container, and made again when it is damaged", async (t) => {
  const code = bundle("node", "exports.handler = () => 'ü'; exports.more = function many() { return 1; };");
  const first = await start(t, "node");
  first.load(code);
  const cached = (await first.frame(isLoaded)).payload;
  t.true(cached.length > 100);

  const second = await start(t, "node");
  second.load(Buffer.concat([cached, code]), { cachedBytes: cached.length });
  t.is((await second.frame(isLoaded)).payload.length, 0);
  t.is(await second.invoke(1, 0), "ü");

  const third = await start(t, "node");
  third.load(Buffer.concat([cached.map((byte) => byte ^ 1), code]), { cachedBytes: cached.length });
  t.true((await third.frame(isLoaded)).payload.length > 100);
  t.is(await third.invoke(1, 0), "ü");
});

test("node: code may be a file inside the container, with its cached data in the frame", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "runtime-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "index.cjs");
  writeFileSync(file, "exports.handler = () => __filename;");
  const first = await start(t, "node");
  first.load(NOTHING, { file });
  const cached = (await first.frame(isLoaded)).payload;
  const second = await start(t, "node");
  second.load(cached, { file, cachedBytes: cached.length });
  t.is((await second.frame(isLoaded)).payload.length, 0);
  t.is(await second.invoke(1, 0), file);
  const absent = await start(t, "node");
  absent.load(NOTHING, { file: path.join(folder, "absent") });
  t.regex(thrown(await absent.frame((frame) => frame.type === FRAME.loadFailed)).message, /ENOENT/);
});

test("node: Node's own modules can be required and imported, by both names", async (t) => {
  const peer = await loaded(
    t,
    "node",
    "const p = require('node:path'); exports.handler = async () => [p === require('path'), (await import('node:os')).EOL];",
  );
  t.deepEqual(await peer.invoke(1, 0), [true, "\n"]);
});

test("node: the handler text may name another export, with or without a file; module.exports may be the handler", async (t) => {
  const peer = await loaded(t, "node", "exports.run = () => 'run';", { handler: "index.run" });
  t.is(await peer.invoke(1, 0), "run");
  const whole = await loaded(t, "node", "module.exports = () => 'whole';");
  t.is(await whole.invoke(1, 0), "whole");
});

for (const [what, source, message] of [
  [
    "an unhandled rejection",
    "exports.handler = async () => { Promise.reject(new RangeError('lost')); await new Promise(() => {}); };",
    "Unhandled rejection: lost",
  ],
  [
    "an uncaught exception",
    "exports.handler = async () => { setTimeout(() => { throw new RangeError('lost'); }); await new Promise(() => {}); };",
    "Uncaught exception: lost",
  ],
] as const) {
  test(`node: ${what} fails the running call by its type, and ends the process with code 1`, async (t) => {
    const peer = await loaded(t, "node", source);
    peer.call(1, NOTHING);
    t.like(thrown(await peer.end(1)), { type: "RangeError", message });
    t.deepEqual(await peer.exited, { code: 1, signal: null });
  });
}

test("node: an exception after the call has ended is logged outside of calls and ends the process with code 1", async (t) => {
  const peer = await loaded(
    t,
    "node",
    "exports.handler = () => { setTimeout(() => { console.log('late'); throw new Error('too late'); }, 5); return 1; };",
  );
  peer.call(1, NOTHING);
  t.is((await peer.end(1)).type, FRAME.result);
  t.is((await peer.exited).code, 1);
  await peer.frame((frame) => frame.type === FRAME.log && frame.flags === 1);
  t.regex(peer.logs(0), /^late\n.*too late/);
});

test("node: requests after the end of their call, and more than 64 at once, are refused inside the container", async (t) => {
  const peer = await loaded(
    t,
    "node",
    `let kept;
     exports.handler = async (event, c) => {
       if (event === 1) { kept = c; return 1; }
       const late = await kept.call("x").catch((error) => error.name);
       const asks = Array.from({ length: 65 }, () => c.call("x").then(() => "answered", (error) => error.name));
       return [late, await asks[64]];
     };`,
  );
  await peer.invoke(1, 1);
  t.deepEqual(await peer.invoke(2, 2), ["BadRequest", "Throttled"]);
});

test("node: a thenable that answers twice is answered once", async (t) => {
  const peer = await loaded(t, "node", "exports.handler = (n) => ({ then(good, bad) { good(n); good(n); bad(new Error('no')); } });");
  t.is(await peer.invoke(1, 1), 1);
  t.is(await peer.invoke(2, 2), 2);
  t.is(peer.frames.filter((frame) => frame.type === FRAME.result || frame.type === FRAME.failed).length, 2);
});

test("node: views and array buffers are sent as their own bytes", async (t) => {
  const peer = await loaded(
    t,
    "node",
    "exports.handler = (n) => [new Uint16Array([1, 2]).subarray(1), new Uint8Array([7]).buffer, Buffer.from('b')][n];",
  );
  const expected = [[2, 0], [7], [98]];
  for (const [at, bytes] of expected.entries()) {
    peer.call(at + 1, new TextEncoder().encode(String(at)));
    t.deepEqual([...(await peer.end(at + 1)).payload], bytes);
  }
});

test("node: what large bodies leave behind is collected as the container's memory demands, and small ones cost no collection", async (t) => {
  const container = await start(t, "node");
  container.load(
    bundle(
      "node",
      `const { PerformanceObserver, constants } = require("node:perf_hooks");
       let forced = 0;
       const count = (list) => { for (const { detail } of list.getEntries()) if (detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) forced++; };
       const observer = new PerformanceObserver(count);
       observer.observe({ entryTypes: ["gc"] });
       exports.handler = async (event) => {
         await new Promise((resolve) => setImmediate(resolve));
         count({ getEntries: () => observer.takeRecords() });
         return forced;
       };`,
    ),
    { memoryMb: 64 },
  );
  for (let nth = 1; nth <= 50; nth++) t.is(await container.invoke(nth, "small"), 0);
  await container.invoke(51, "x".repeat(4_000_000));
  await container.invoke(52, "x".repeat(4_000_000));
  await container.invoke(53, "x".repeat(4_000_000));
  t.is(await container.invoke(54, "small"), 1);
});
