/** Everything that a user can get wrong, against one real platform: each mistake gets one clear error, and the next command works. */
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { type Run, runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";

interface Room {
  readonly platform: Platform;
  pilot(...words: string[]): Promise<Run>;
}
const test = anyTest as TestFn<Room>;

test.before(async (t) => {
  t.timeout(120_000);
  const platform = await startPlatform();
  const env = { ...process.env, NATS_URL: undefined, NATS_CONTEXT: undefined };
  t.context = { platform, pilot: (...words) => runCli([...words, "--context", platform.running.context], { env }) };
  await platform.deploy("echo", "exports.handler = async (event) => event;");
});
test.after.always(async (t) => {
  await t.context.platform?.stop();
});

/** The command ends with that code, says so in so many words, and has nothing on stdout; a call works afterwards. */
async function fails(t: ExecutionContext<Room>, code: number, said: RegExp, ...words: string[]): Promise<void> {
  const run = await t.context.pilot(...words);
  t.deepEqual({ code: run.code, stdout: run.stdout }, { code, stdout: "" }, `${words.join(" ")}: ${run.stderr}`);
  t.regex(run.stderr, said, words.join(" "));
  t.regex(run.stderr, /\n {2}next: {2}\S/, words.join(" "));
  if (code !== 2) t.regex(run.stderr, /\n {2}fault: \S/, words.join(" "));
  const next = await t.context.pilot("invoke", "echo", "--data", "1");
  t.is(next.stdout, "1", next.stderr);
}

test.serial("F009 a name that is none is refused before anything is asked, and an unknown function is named", async (t) => {
  for (const name of ["a*b", "a>b", "a.b.c", "a b", "ümlaut", "a".repeat(300), ""]) {
    await fails(t, 2, /is not (a name|NAME)/, "invoke", name);
    if (name !== "a.b.c") await fails(t, 2, /is not a name/, "fn", "show", name);
  }
  await fails(t, 1, /FunctionNotFound \(404\): there is no function nope/, "invoke", "nope");
  await fails(t, 1, /FunctionNotFound/, "invoke", "echo:99");
});

test.serial("F003 F009 memory, time limits, headers and variables that make no sense are refused with what would be right", async (t) => {
  for (const amount of ["0", "-1", "1TB", "1048576"])
    await fails(t, 2, /is not a memory amount: whole/, "invoke", "echo", "--memory", amount);
  for (const time of ["0", "-5s", "soon"]) await fails(t, 2, /is not a duration: write for example/, "invoke", "echo", "--timeout", time);
  await fails(t, 2, /is not KEY=VALUE/, "invoke", "echo", "--header", "nonsense");
  await fails(t, 1, /BadHeader \(400\): there is no header Pilot-Nonsense/, "invoke", "echo", "--header", "Pilot-Nonsense=1");
  await fails(t, 2, /is not KEY=VALUE/, "deploy", "x.js", "--env", "nonsense");
  await fails(t, 2, /is not a variable name/, "deploy", "x.js", "--env", "1A=2");
});

test.serial(
  "F005 a body of nothing, one that just fits into a message and one that does not come back; one above the last limit is refused",
  async (t) => {
    const directory = await temporaryDirectory(t);
    const file = join(directory, "body");
    t.is((await t.context.pilot("invoke", "echo", "--data", "")).code, 0);
    await writeFile(file, new Uint8Array(BODY_LIMIT).fill(255));
    t.is((await t.context.pilot("invoke", "echo", "--data", `@${file}`)).bytes.length, BODY_LIMIT);
    await truncate(file, BODY_LIMIT + 1);
    t.is((await t.context.pilot("invoke", "echo", "--data", `@${file}`)).bytes.length, BODY_LIMIT + 1);
    await truncate(file, LIMITS.largeBody.value + 1);
    await fails(t, 1, /PayloadTooLarge \(413\)/, "invoke", "echo", "--data", `@${file}`);
    await fails(t, 1, /cannot be read: it does not exist/, "invoke", "echo", "--data", `@${file}.none`);
  },
);

test.serial("F005 the command's call and a plain request give the same result", async (t) => {
  const { platform, pilot } = t.context;
  const plain = await platform.call("echo", { deep: ["ü", 1, null] });
  const typed = await pilot("invoke", "echo", "--data", '{"deep":["ü",1,null]}');
  t.is(typed.stdout, plain.text);
  const lost = await platform.call("nope");
  const said = await pilot("invoke", "nope", "--json");
  t.like(JSON.parse(said.stdout), { error: { name: lost.error, message: lost.message } });
});

test.serial("what cannot be deployed is refused with the place, and no version is made", async (t) => {
  const directory = await temporaryDirectory(t);
  const file = async (name: string, text: string | Uint8Array): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  await mkdir(join(directory, "hollow"));
  const huge = await file("huge.js", "");
  await truncate(huge, 200 * 1024 * 1024);
  const cases: [path: string, said: RegExp][] = [
    [join(directory, "none.js"), /it does not exist/],
    [await file("empty.js", ""), /empty\.js is empty/],
    [await file("binary.js", new Uint8Array([0, 159, 146, 150, 0, 1])), /is a binary file/],
    [huge, /BundleTooLarge \(413\)/],
    [join(directory, "hollow"), /has no entry; looked for/],
    [await file("syntax.ts", "export const handler = (e => "), /syntax\.ts:1:\d+/],
    [await file("syntax.py", "def handler(event, context)\n  return 1\n"), /syntax\.py:1:28: SyntaxError/],
    [await file("missing.ts", 'import x from "./nowhere.ts"; export const handler = () => x;'), /missing\.ts:1:15: Could not resolve/],
    [await file("await.mjs", "const a = await 5; export const handler = () => a;"), /Top-level await is not possible/],
    [await file("nothing.js", "export const other = 1;"), /does not export "handler"; it exports other/],
  ];
  for (const [path, said] of cases) await fails(t, 1, said, "deploy", path, "--name", "bad");
  await fails(t, 1, /FunctionNotFound/, "fn", "show", "bad");
});

test.serial("a module that only Python misses at run time fails at the first call with the function's own stack", async (t) => {
  const file = join(await temporaryDirectory(t), "late.py");
  await writeFile(file, "import nosuchmodule\n\ndef handler(event, context):\n    return 1\n");
  t.is((await t.context.pilot("deploy", file)).code, 0);
  await fails(t, 1, /HandlerError \(500\).*No module named 'nosuchmodule'[\s\S]*late\.py", line 1/, "invoke", "late", "--deadline", "60s");
});

test.serial("of two deploys of one name at once each gets a version of its own", async (t) => {
  const file = join(await temporaryDirectory(t), "twice.js");
  await writeFile(file, "exports.handler = () => 2;");
  const runs = await Promise.all([t.context.pilot("deploy", file, "--json"), t.context.pilot("deploy", file, "--json")]);
  t.deepEqual(runs.map((run) => (JSON.parse(run.stdout) as { version: number }).version).sort(), [1, 2]);
});

test.serial("aliases, functions, accounts and calls that are not there are named, whatever is done to them", async (t) => {
  await fails(t, 1, /has no version 99/, "alias", "set", "echo", "live", "99");
  await fails(t, 1, /sum to 100, these to 110/, "alias", "set", "echo", "live", "1=90", "2=20");
  await fails(t, 2, /a version is named twice/, "alias", "set", "echo", "live", "1=50", "1=50");
  await fails(t, 1, /has no alias beta/, "alias", "rm", "echo", "beta");
  for (const verb of ["rm", "show", "versions", "where", "stats", "preload"]) await fails(t, 1, /FunctionNotFound/, "fn", verb, "nope");
  await fails(t, 1, /FunctionNotFound/, "logs", "nope");
  await fails(t, 1, /NotFound \(404\): there is no account nope/, "account", "set", "nope", "--timeout", "1s");
  await fails(t, 1, /NotFound \(404\): there is no account nope/, "account", "rm", "nope");
  await fails(t, 1, /is not a call id/, "call", "show", "nope");
});

test.serial(
  "F006 a function of an account that may have no container waits and is refused by name; an account with functions stays",
  async (t) => {
    const file = join(await temporaryDirectory(t), "shut.js");
    await writeFile(file, "exports.handler = () => 2;");
    t.is((await t.context.pilot("account", "add", "shut", "--containers", "0")).code, 0);
    t.is((await t.context.pilot("deploy", file, "--account", "shut")).code, 0);
    await fails(t, 3, /Throttled \(429\).*cap of 0 containers/, "invoke", "shut", "--account", "shut", "--deadline", "300ms");
    await fails(t, 1, /account shut still has 1 function: /, "account", "rm", "shut");
    t.is((await t.context.pilot("fn", "rm", "shut", "--account", "shut")).code, 0);
    t.is((await t.context.pilot("account", "rm", "shut")).code, 0);
    t.notRegex((await t.context.pilot("account", "ls")).stdout, /shut/);
  },
);

test.serial("who has no right to deploy is told as whom they came, and nothing is stored", async (t) => {
  const file = join(await temporaryDirectory(t), "mine.js");
  await writeFile(file, "exports.handler = () => 2;");
  const env = { ...process.env, PILOT_STATE_HOME: await temporaryDirectory(t), NATS_URL: t.context.platform.running.nats };
  for (const words of [
    ["deploy", file],
    ["fn", "ls"],
    ["account", "rm", "main"],
  ]) {
    const run = await runCli(words, { env });
    t.is(run.code, 1, run.stderr);
    t.regex(run.stderr, /NotAllowed \(403\).*connected by NATS_URL[\s\S]*next: {2}Connect as the operator/);
  }
  t.is((await runCli(["invoke", "echo", "--data", "1"], { env })).stdout, "1");
});
