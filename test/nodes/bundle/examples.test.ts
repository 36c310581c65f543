import { execFileSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
import test, { type ExecutionContext } from "ava";
import { unzipSync } from "fflate";
import { makeBundle } from "../../../nodes/io/bundle/index.ts";
import { mapStack } from "../../../nodes/io/code/stack.ts";
import { isName } from "../../../protocol/names.ts";
import { place } from "./place.ts";

interface Example {
  readonly name: string;
  readonly runtime?: "node" | "python";
  readonly environment?: Record<string, string>;
  readonly event?: unknown;
  readonly eventBase64?: string;
  readonly expect?: unknown;
  readonly expectBase64?: string;
  readonly expectError?: { readonly message: string; readonly place: string };
}

/** The project's directory: the build lies somewhere below it, or beside it. */
async function projectRoot(): Promise<string> {
  const given = process.env["PILOT_ROOT"];
  if (given !== undefined) return given;
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    const names = await readdir(at);
    if (names.includes("package.json") && names.includes("examples")) return at;
    if (dirname(at) === at) throw new Error("the project's directory was not found");
  }
}

const examples = join(await projectRoot(), "examples");
const numbered = (await readdir(examples)).filter((name) => /^\d\d-/.test(name)).sort();
const describe = async (folder: string): Promise<Example> =>
  JSON.parse(await readFile(join(examples, folder, "pilot.json"), "utf8")) as Example;

/** Runs a Node bundle here, with a context that answers as the platform would. */
async function run(code: Uint8Array, { name, event, eventBase64, environment = {} }: Example): Promise<unknown> {
  const module = { exports: {} as Record<string, (event: unknown, context: unknown) => unknown> };
  const context = {
    functionName: name,
    getRemainingTimeInMillis: () => 1_000,
    log: { info: () => undefined },
    call: async (_: string, { name: whom }: { name: string }) => ({ message: `hello ${whom}` }),
    publish: async () => undefined,
  };
  const wrapped = new Script(`(function (exports, require, module, process, console) {${Buffer.from(code).toString("latin1")}\n})`, {
    filename: "function.cjs",
  });
  wrapped.runInThisContext()(module.exports, createRequire(import.meta.url), module, { env: environment }, { log: () => undefined });
  return module.exports["handler"]?.(eventBase64 === undefined ? event : Buffer.from(eventBase64, "base64"), context);
}

/** Runs the zip with this machine's Python, which can import from one. */
async function runPython(t: ExecutionContext, code: Uint8Array, event: unknown): Promise<unknown> {
  const file = join(await place(t, { "code.zip": code }), "code.zip");
  const script =
    "import sys, json; sys.path.insert(0, sys.argv[1]); import main; print(json.dumps(main.handler(json.loads(sys.argv[2]), None)))";
  return JSON.parse(execFileSync("python3", ["-c", script, file, JSON.stringify(event)]).toString()) as unknown;
}

test("there are nine examples, each with a name of its own", async (t) => {
  const all = await Promise.all(numbered.map(describe));
  t.is(all.length, 9);
  t.is(new Set(all.map(({ name }) => name)).size, 9);
  for (const { name } of all) t.true(isName(name));
});

for (const folder of numbered) {
  test(`the example ${folder} is bundled without a warning and does what its pilot.json says`, async (t) => {
    const example = await describe(folder);
    const { runtime, code, map = new Uint8Array(), warnings } = await makeBundle(join(examples, folder));
    t.deepEqual(warnings, []);
    t.is(runtime, example.runtime ?? "node");
    if (runtime === "python") {
      t.true(Object.keys(unzipSync(code)).includes("main.pyc"));
      t.deepEqual(await runPython(t, code, example.event), example.expect);
      return;
    }
    if (example.expectError !== undefined) {
      const thrown = (await t.throwsAsync(run(code, example) as Promise<unknown>)) as Error;
      t.is(thrown.message, example.expectError.message);
      t.true(mapStack(thrown.stack ?? "", map).includes(example.expectError.place), mapStack(thrown.stack ?? "", map));
      return;
    }
    const result = await run(code, example);
    if (example.expectBase64 === undefined) t.deepEqual(result, example.expect);
    else t.is(Buffer.from(result as Uint8Array).toString("base64"), example.expectBase64);
  });
}
