import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import test from "ava";
import fc from "fast-check";
import { bundleSource, makeBundle } from "../../../nodes/io/bundle/index.ts";
import { fault, place } from "./place.ts";

type Exports = Record<string, (...given: unknown[]) => unknown>;

/** Loads a bundle as a runtime would: CommonJS in a function. */
function load(code: Uint8Array): Exports {
  const module = { exports: {} as Exports };
  const wrapped = new Script(`(function(exports,require,module){${Buffer.from(code).toString("latin1")}\n})`, {
    filename: "function.cjs",
  });
  wrapped.runInThisContext()(module.exports, createRequire(import.meta.url), module);
  return module.exports;
}

test("a TypeScript file becomes CommonJS text with a map and the digest of its bytes", async (t) => {
  const root = await place(t, {
    "hello.ts": "interface E { name: string }\nexport const handler = async (event: E) => `hello ${event.name}`;\n",
  });
  const bundle = await makeBundle(join(root, "hello.ts"));
  t.is(bundle.runtime, "node");
  t.is(bundle.handler, "handler");
  t.is(bundle.digest, createHash("sha256").update(bundle.code).digest("hex"));
  t.deepEqual((JSON.parse(Buffer.from(bundle.map ?? []).toString()) as { sources: string[] }).sources, ["hello.ts"]);
  t.deepEqual(bundle.warnings, []);
  t.is(await load(bundle.code)["handler"]?.({ name: "you" }), "hello you");
});

test("the same files in another directory give the same digest, and any change of a file another one", async (t) => {
  const files = {
    "index.ts": 'import { one } from "./one.ts";\nexport const handler = () => one;\n',
    "one.ts": "export const one = 1;\n",
  };
  const first = await makeBundle(await place(t, files));
  t.is((await makeBundle(await place(t, files))).digest, first.digest);
  t.not((await makeBundle(await place(t, { ...files, "one.ts": "export const one = 2;\n" }))).digest, first.digest);
  // The code is the same, its lines are not: stacks must not be mapped with another bundle's map.
  t.not((await makeBundle(await place(t, { ...files, "one.ts": "// moved\nexport const one = 1;\n" }))).digest, first.digest);
});

test("a directory with node_modules, JSON and text files is one bundle without imports of files", async (t) => {
  const root = await place(t, {
    "package.json": '{"main":"src/start"}',
    "src/start.ts":
      'import greet from "greet";\nimport data from "./data.json";\nimport text from "./note.txt";\nexport const handler = () => [greet("x"), data.n, text.trim()];\n',
    "src/data.json": '{"n":3}',
    "src/note.txt": "note\n",
    "node_modules/greet/package.json": '{"name":"greet","main":"lib.js"}',
    "node_modules/greet/lib.js": 'module.exports = (name) => require("node:path").join("hello", name);',
  });
  const bundle = await makeBundle(root);
  t.deepEqual(load(bundle.code)["handler"]?.(), ["hello/x", 3, "note"]);
  t.is(bundle.files, 4);
});

test("the entry of a directory is what package.json names, else the usual names in order", async (t) => {
  const code = (name: string) => `export const handler = () => "${name}";`;
  const cases: [Record<string, string>, string][] = [
    [{ "package.json": '{"exports":{".":{"import":"./a.mjs"}},"main":"b.js"}', "a.mjs": code("a"), "b.js": code("b") }, "a"],
    [{ "package.json": '{"exports":"./a.js"}', "a.js": code("a"), "index.ts": code("i") }, "a"],
    [{ "package.json": '{"main":"dist/gone.js"}', "index.ts": code("i") }, "i"],
    [{ "handler.js": code("h"), "main.ts": code("m") }, "h"],
    [{ "function.cjs": "exports.handler = () => 'f';" }, "f"],
  ];
  for (const [files, expected] of cases) t.is(load((await makeBundle(await place(t, files))).code)["handler"]?.(), expected);
});

test("a syntax error is BadCode with file, line, column and the source line", async (t) => {
  const root = await place(t, {
    "broken.ts": 'const fine = 1;\nexport const handler = async () => {\n  const é = "é"; return fine +;\n};\n',
  });
  const message = await fault(t, makeBundle(join(root, "broken.ts")), "BadCode");
  t.regex(message, /^broken\.ts:3:31: Unexpected ";"/);
  t.regex(message, /3 \| {3}const é = "é"; return fine \+;\n/);
  t.notRegex(message, /(?!\n)\p{Cc}/u);
});

test("a missing import, a native addon, top-level await and an absent export are BadCode that says what to do", async (t) => {
  const of = async (files: Record<string, string>, options = {}) => fault(t, makeBundle(await place(t, files), options), "BadCode");
  t.regex(
    await of({ "index.ts": 'import a from "not-there";\nexport const handler = a;' }),
    /^index\.ts:1:15: Could not resolve "not-there"; install it/,
  );
  t.regex(
    await of({ "index.ts": "const a = await fetch('x');\nexport const handler = () => a;" }),
    /^index\.ts:1:11: Top-level await .* async function/,
  );
  t.regex(await of({ "index.js": 'exports.handler = require("./x.node");', "x.node": "\u0000" }), /native addon/);
  t.regex(await of({ "index.ts": "export const run = 1;" }), /index\.ts does not export "handler"; it exports run\./);
  t.regex(await of({ "index.ts": "export const handler = 1;" }, { handler: "go" }), /does not export "go"/);
});

test("a handler may be named, as function or as module.function, and a lone default export is one", async (t) => {
  const files = {
    "index.ts": "export const handler = 1; export const go = () => 1;",
    "other.ts": 'export * from "./index.ts";',
  };
  const root = await place(t, files);
  t.is((await makeBundle(root, { handler: "go" })).handler, "go");
  t.is((await makeBundle(root, { handler: "other.go" })).handler, "go");
  t.is((await makeBundle(await place(t, { "index.js": "export default () => 1;" }))).handler, "default");
  for (const handler of ["", "a b", "../x.y", "x.", "a\nb", "a".repeat(400)]) await fault(t, makeBundle(root, { handler }), "BadRequest");
});

test("a require of a name known only at run time is a warning with its place", async (t) => {
  const root = await place(t, { "index.js": "exports.handler = (name) =>\n  require(name);\n" });
  const { warnings } = await makeBundle(root);
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? "", /^index\.js:2:3: /);
});

test("a relative import that leaves the directory through a symbolic link is refused; a plain one may lie outside", async (t) => {
  const outside = await place(t, { "secret.json": "{}" });
  const root = await place(t, { "index.ts": 'import s from "./inside.json";\nexport const handler = () => s;' });
  await symlink(join(outside, "secret.json"), join(root, "inside.json"));
  t.regex(await fault(t, makeBundle(root), "BadCode"), /inside\.json is a symbolic link that leads out/);
  const shared = await place(t, {
    "shared.ts": "export const one = 1;",
    "fn/index.ts": 'import { one } from "../shared.ts";\nexport const handler = () => one;',
  });
  t.is(load((await makeBundle(join(shared, "fn"))).code)["handler"]?.(), 1);
});

test("F002 code inside a request is bundled without looking at any file", async (t) => {
  const bundle = await bundleSource('import { join } from "node:path";\nexport const handler = (e: string) => join("a", e);', "node");
  t.is(load(bundle.code)["handler"]?.("b"), "a/b");
  for (const name of ["./x.ts", "/etc/passwd", "esbuild", "../../package.json", "file:///etc/passwd"]) {
    t.regex(
      await fault(t, bundleSource(`import x from ${JSON.stringify(name)};\nexport const handler = x;`, "node"), "BadCode"),
      /^function\.ts:1:15: .*built-in modules/,
    );
  }
  // A pattern must not pull in whatever lies in the working directory.
  const pattern = await bundleSource('exports.handler = (x: string) => [require("./" + x + ".json"), import(`./${x}.md`)];', "node").then(
    (made) => made.files,
    (thrown: Error) => thrown.name,
  );
  t.true(pattern === 1 || pattern === "BadCode", String(pattern));
  await fault(t, bundleSource("x".repeat(256 * 1024 + 1), "node"), "PayloadTooLarge");
  await fault(t, bundleSource(" \n", "node"), "BadRequest");
});

test("hostile source ends in a bundle or a typed error, and the next one is bundled", async (t) => {
  for (const text of ["(", "[", "a=>", "!", "if(a)", "`${", "/*", "\\", "class A{"]) {
    await fault(t, bundleSource(text.repeat(Math.floor(50_000 / text.length)), "node"), "BadCode");
  }
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 200 }), async (text) => {
      const outcome = await bundleSource(`export const handler = 1;\n${text}`, "node").then(
        () => "made",
        (thrown: Error) => thrown.name,
      );
      t.true(["made", "BadCode", "BadRequest"].includes(outcome), outcome);
    }),
    { numRuns: 50 },
  );
  t.is((await bundleSource("export const handler = 1;", "node")).handler, "handler");
});

test.serial("a compiler process that was killed is replaced, for all that were waiting for it", async (t) => {
  await bundleSource("export const handler = 1;", "node");
  const children = execFileSync("ps", ["-o", "pid=,comm=", "--ppid", String(process.pid)])
    .toString()
    .split("\n");
  const compilers = children.filter((line) => line.includes("esbuild")).map((line) => Number.parseInt(line, 10));
  t.is(compilers.length, 1);
  for (const pid of compilers) process.kill(pid, "SIGKILL");
  const made = await Promise.all(Array.from({ length: 5 }, () => bundleSource("export const handler = 1;", "node")));
  t.true(made.every(({ handler }) => handler === "handler"));
});
