import { Script } from "node:vm";
import test from "ava";
import fc from "fast-check";
import { bundleSource, makeBundle } from "../../../nodes/io/bundle/index.ts";
import { mapStack } from "../../../nodes/io/code/stack.ts";
import { place } from "../bundle/place.ts";

const HEAD = "(function (exports, require, module) {";

/** The stack of what the bundle's handler throws when it is run as the runtime runs it. */
function thrownBy(code: Uint8Array, columnOffset: number): string {
  const module = { exports: {} as Record<string, () => unknown> };
  new Script(`${HEAD}${Buffer.from(code).toString("latin1")}\n})`, {
    filename: "function.cjs",
    columnOffset,
  }).runInThisContext()(module.exports, undefined, module);
  try {
    module.exports["handler"]?.();
  } catch (thrown) {
    return (thrown as Error).stack ?? "";
  }
  return "";
}

test("frames become the developer's files, lines and columns, with and without a wrapper on line 1", async (t) => {
  const root = await place(t, {
    "src/deep.ts": "interface Gone {\n  a: string;\n}\nexport function deep(x: Gone): never {\n  throw new TypeError(`bad ${x.a}`);\n}\n",
    "index.ts": 'import { deep } from "./src/deep.ts";\n\nexport const handler = (): never => deep({ a: "é" });\n',
  });
  const { code, map = new Uint8Array() } = await makeBundle(root);
  for (const offset of [0, -HEAD.length]) {
    const [message, first, second, third] = mapStack(thrownBy(code, offset), map).split("\n");
    t.is(message, "TypeError: bad é");
    t.is(first, "    at deep (src/deep.ts:5:9)");
    t.regex(second ?? "", /^ {4}at (\S+\.)?handler \(index\.ts:3:37\)$/);
    t.false((third ?? "").includes("function.cjs"));
  }
});

test("code inside a request is mapped to its own lines", async (t) => {
  const { code, map = new Uint8Array() } = await bundleSource(
    "type T = number;\n\nexport const handler = (): T => {\n  throw new Error('x');\n};",
    "node",
  );
  t.regex(mapStack(thrownBy(code, 0), map), /function\.ts:4:9/);
});

test("frames of the runtime, of Node's inside and of esbuild's own code are dropped, messages are not touched", async (t) => {
  const { map = new Uint8Array() } = await bundleSource("export const handler = 1;", "node");
  const stack = [
    "Error: at function.cjs:1:1 of /x.js:1:2",
    "    at __require (function.cjs:3:5)",
    "    at Object.<anonymous> (/opt/runtimes/node/bootstrap.cjs:10:3)",
    "    at /opt/runtimes/node/bootstrap.cjs:10:3",
    "    at async file:///opt/x.mjs:1:1",
    "    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
    "    at Array.map (<anonymous>)",
    "    at JSON.parse (<anonymous>)",
    "    at user (function.cjs:99999:1)",
  ];
  t.deepEqual(mapStack(stack.join("\n"), map).split("\n"), [stack[0], stack[6], stack[7], stack[8]]);
});

test("no stack and no map makes it throw, and the answer is bounded", (t) => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "    at f (function.cjs:1:1)",
      "    at function.cjs:0:0",
      "    at f (function.cjs:999999999:999999999)",
      "   at eval (eval at x (function.cjs:2:3), <anonymous>:1:1)",
    ),
  );
  const piece = fc.oneof(fc.string(), fc.constantFrom("AAAA", ";", ",", "////", "gggggggggggggggggg", "AACA;AACA", "DDDD"));
  const mapOf = fc.record({
    version: fc.constantFrom(3, 2, "3"),
    sources: fc.oneof(fc.array(fc.oneof(fc.string(), fc.constant(null))), fc.string()),
    names: fc.anything(),
    mappings: fc.oneof(
      fc.array(piece).map((all) => all.join("")),
      fc.anything(),
    ),
  });
  const bytes = fc.oneof(
    fc.uint8Array(),
    mapOf.map((made) =>
      Buffer.from(JSON.stringify(made, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)) ?? ""),
    ),
  );
  fc.assert(
    fc.property(fc.array(line), bytes, (lines, map) => {
      const mapped = mapStack(lines.join("\n"), map);
      t.true(mapped.length <= 200 * 1_000);
    }),
    { numRuns: 300 },
  );
  const evil = Buffer.from(JSON.stringify({ version: 3, sources: ["a\n    at fake (b.ts:1:1)\u001b[31m"], names: [], mappings: "AAAA" }));
  t.notRegex(mapStack("    at f (function.cjs:1:1)", evil), /\p{Cc}/u);
  const endless = Buffer.from(JSON.stringify({ version: 3, sources: ["a"], names: [], mappings: ";".repeat(30_000_000) }));
  t.is(mapStack("    at f (function.cjs:1:1)", endless), "    at f (function.cjs:1:1)");
  t.true(mapStack("    at f (function.cjs:1:1)\n".repeat(100_000), evil).length < 300_000);
});
