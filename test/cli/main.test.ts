/** The command line as a whole, without a platform. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { Writable } from "node:stream";
import test from "ava";
import { helpTexts } from "../../cli/docs.ts";
import { main } from "../../cli/main.ts";
import { tableText, wrapped } from "../../cli/output.ts";
import { VERSION } from "../../protocol/version.ts";
import { runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";

/** Nobody listens there. */
const NOWHERE = "nats://127.0.0.1:9";
const documented = helpTexts();

test("the help of every command has a worked example of it", (t) => {
  t.true(documented.length > 25);
  for (const [route, help] of documented) {
    const examples = help.split("EXAMPLES\n")[1]?.split("\n\n")[0] ?? "";
    t.true(examples.includes(route.replace(/^pilot /, "")), route);
  }
});

test("every example names a command that exists and flags that it has", async (t) => {
  const routes = new Map(documented);
  for (const [route, help] of documented) {
    const examples = (help.split("EXAMPLES\n")[1]?.split("\n\n")[0] ?? "").split("\n");
    for (const example of examples) {
      const words = example
        .replace(/^.*?\bpilot /, "")
        .replace(/[)|>].*$/, "")
        .trim()
        .split(/\s+/);
      const found = [2, 1].map((length) => `pilot ${words.slice(0, length).join(" ")}`).find((one) => routes.has(one));
      t.not(found, undefined, `${route}: ${example}`);
      for (const [flag] of example.matchAll(/--[a-z][a-z-]+/g)) t.true(routes.get(found ?? "")?.includes(flag), `${example}: ${flag}`);
    }
  }
});

test("reads take --json", (t) => {
  const reads = [
    "fn ls",
    "fn show",
    "fn stats",
    "fn versions",
    "fn where",
    "alias ls",
    "account ls",
    "instance ls",
    "container ls",
    "pool show",
    "cache ls",
    "call show",
    "logs",
    "doctor",
    "limits",
    "errors",
  ];
  for (const read of reads) t.true(new Map(documented).get(`pilot ${read}`)?.includes("--json"), read);
});

test("an unknown command or flag ends with 2 and names the nearest", async (t) => {
  const command = await runCli(["deply", "x.ts"]);
  t.is(command.code, 2);
  t.regex(command.stderr, /deploy/);
  const flag = await runCli(["fn", "ls", "--jsn"]);
  t.is(flag.code, 2);
  t.regex(flag.stderr, /--json/);
  t.is(command.stdout + flag.stdout, "");
});

test("a command line that is wrong in several places says each, and once where to look", async (t) => {
  const run = await runCli(["pool", "set", "node=2"]);
  t.is(run.code, 2);
  const lines = run.stderr.trimEnd().split("\n");
  t.is(lines.length, 3, run.stderr);
  t.regex(lines[0] ?? "", /^pilot: node\|python\|warm: "node=2" is not a runtime/);
  t.regex(lines[2] ?? "", /^ {2}next: {2}the command with --help/);
});

test("long findings are broken at spaces for a narrow terminal, and stay whole elsewhere", (t) => {
  t.deepEqual(wrapped("one two three", 7), ["one two", "three"]);
  t.deepEqual(wrapped("unbreakable", 4), ["unbreakable"]);
  t.deepEqual(wrapped("one two three", Number.POSITIVE_INFINITY), ["one two three"]);
});

test("columns of a table stand below one another, whatever signs are in them", (t) => {
  const rows = [
    ["plain", 1],
    ["日本", 2],
    ["e\u0301clair", 3],
    [undefined, 4],
  ];
  const lines = tableText(["NAME", "N"], rows).split("\n");
  t.deepEqual(lines, ["NAME    N", "plain   1", "日本    2", "e\u0301clair  3", "-       4"]);
  t.is(tableText([], [["a", "b"]]), "a  b");
});

test("a wrong value ends with 2 and says what would be right", async (t) => {
  const run = await runCli(["invoke", "hello", "--timeout", "5"]);
  t.is(run.code, 2);
  t.regex(run.stderr, /--timeout: "5" is not a duration: write for example 200ms/);
  for (const words of [
    ["invoke"],
    ["invoke", "a.b.c"],
    ["invoke", "a", "--code", "x.js"],
    ["fn", "show"],
    ["fn", "set", "a"],
    ["deploy"],
    ["deploy", "a b.js"],
    ["invoke", "a", "--memory", "-1"],
    ["invoke", "*"],
    ["up", "--port", "70000"],
    ["alias", "set", "f", "live"],
    ["invoke", "a", "--header", "A=b", "--header", "A=c", "-s", NOWHERE],
  ]) {
    t.is((await runCli(words)).code, 2, words.join(" "));
  }
});

test("a port or a store that cannot be had ends up with 2, and says who has it", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  t.teardown(() => other.close());
  await once(other, "listening");
  const { port } = other.address() as AddressInfo;
  const store = join(await temporaryDirectory(t), "store");
  const run = await runCli(["up", "--port", String(port), "--store", store]);
  t.is(run.code, 2, run.stderr);
  t.regex(run.stderr, new RegExp(`^pilot: port ${port} is in use by .+\n {2}next: .*another port, or 0`));
  t.is(run.stdout, "");
  t.is((await runCli(["up", "--port", "0", "--store", "/proc/none"])).code, 2);
});

test("a broker that cannot be reached ends with 3 and no stack", async (t) => {
  for (const words of [["fn", "ls"], ["invoke", "hello"], ["doctor"]]) {
    const run = await runCli([...words, "--server", NOWHERE]);
    t.is(run.code, 3, words.join(" "));
    t.notRegex(run.stdout + run.stderr, /\n\s+at /);
    t.regex(run.stdout + run.stderr, /127\.0\.0\.1:9/);
  }
});

test("what is wrong with a file to deploy ends with 1 before anything is connected to", async (t) => {
  const run = await runCli(["deploy", "/nowhere/there-is-nothing.js", "-s", NOWHERE]);
  t.is(run.code, 1, run.stderr);
});

test("data from a file that is not there ends with 1", async (t) => {
  const run = await runCli(["invoke", "hello", "--data", "@/nowhere/data.json", "-s", NOWHERE]);
  t.is(run.code, 1);
  t.regex(run.stderr, /data\.json cannot be read/);
});

test("a body above the limit is refused before it is read to its end", async (t) => {
  const megabyte = new Uint8Array(1024 * 1024);
  const run = await runCli(["invoke", "hello", "--data", "-", "-s", NOWHERE], { stdin: Array.from({ length: 100 }, () => megabyte) });
  t.is(run.code, 1);
  t.regex(run.stderr, /PayloadTooLarge/);
});

test("the tables of limits and errors are valid JSON when asked for", async (t) => {
  for (const table of ["limits", "errors"]) {
    const run = await runCli([table, "--json"]);
    t.is(run.code, 0);
    t.true(Object.keys(JSON.parse(run.stdout) as object).length > 20);
  }
});

test("the version is printed by command and by flag", async (t) => {
  t.is((await runCli(["version"])).stdout, `${VERSION}\n`);
  t.is((await runCli(["--version"])).stdout, `${VERSION}\n`);
});

test("completion proposes commands and flags, and a script for each shell", async (t) => {
  t.deepEqual((await runCli(["__complete", "--", "fn", "s"])).stdout.split("\n").filter(Boolean), ["show", "set", "stats"]);
  t.regex((await runCli(["__complete", "--", "deploy", "--ru"])).stdout, /^--runtime$/m);
  const proposed = async (...words: string[]) => (await runCli(["__complete", "--", ...words])).stdout.split("\n").filter(Boolean);
  t.deepEqual(await proposed("deploy", "--runtime", ""), ["node", "python"]);
  t.deepEqual(await proposed("completion", ""), ["bash", "zsh", "fish"]);
  // A file is meant, which is the shell's own business.
  t.deepEqual(await proposed("deploy", ""), []);
  for (const shell of ["bash", "zsh", "fish"]) t.regex((await runCli(["completion", shell])).stdout, /__complete/);
  t.is((await runCli(["completion", "tcsh"])).code, 2);
  t.notRegex((await runCli(["--help"])).stdout, /__complete/);
});

test("a reader of stdout that goes away is no failure", async (t) => {
  const stdout = new Writable({
    write(_chunk, _encoding, done) {
      done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    },
  });
  t.is(await main(["limits"], { stdout, stderr: stdout, env: {}, signal: new AbortController().signal }), 0);
});
