/** Commands against a real broker, with stand-ins for scheduler and frontend that keep what they were asked. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { cancelCall, listFunctions, setAccount, setAlias, setFunction, setPool, showFleet, showFunction } from "../../cli/contracts.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { functionLogs, LOG_STREAM_NAME } from "../../protocol/messages/logs.ts";
import { DESK, type Role, SUBJECT } from "../../protocol/subjects.ts";
import { startTestBroker } from "../support/nats-server.ts";
import { type Run, type RunOptions, runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const SETTINGS = { memoryMb: 128, timeoutMs: 30_000, keepAliveMs: 600_000, direct: true, idempotent: false, containers: 1_000 };
const FUNCTION = {
  account: "main",
  name: "echo",
  settings: SETTINGS,
  aliases: { live: [{ version: 2, weight: 100 }] },
  newest: 2,
  versions: [2, 1],
  createdAt: 1,
  changedAt: 2,
};

interface Room {
  pilot(words: readonly string[], options?: RunOptions): Promise<Run>;
  as(role: Role): Promise<Connected>;
  readonly directory: string;
  /** Path of the operator's context file. */
  readonly context: string;
}

async function roomOf(t: ExecutionContext): Promise<Room> {
  const broker = await startTestBroker(t);
  return {
    directory: await temporaryDirectory(t),
    context: broker.contextFile("operator"),
    pilot: (words, options) => runCli([...words, "--context", broker.contextFile("operator")], options),
    async as(role) {
      const settings = await resolveConnection({ context: broker.contextFile(role) }, {});
      const connected = await connect(settings, { name: `test ${role}`, role, node: `${role}-1` });
      t.teardown(() => connected.close());
      return connected;
    },
  };
}

/** Answers calls of `echo` with body and headers as they came, of `fail` with an error, of `raw` with bytes; of `silent` never. */
async function serveCalls(room: Room): Promise<{ readonly seen: { subject: string; headers: string[]; body: string }[] }> {
  const frontend = await room.as("frontend");
  const seen: { subject: string; headers: string[]; body: string }[] = [];
  frontend.bus.listen(SUBJECT.fnAll, { queue: DESK }, (message) => {
    const headers = message.headerNames().map((name) => `${name}=${message.header(name)}`);
    seen.push({ subject: message.subject, headers, body: Buffer.from(message.body).toString() });
    const traced =
      message.header("Pilot-Trace") === "1"
        ? { "Pilot-Rung": "hot", "Pilot-Path": "frontend", "Pilot-Times": "1000;1001.5;1004" }
        : undefined;
    if (message.subject.endsWith(".echo")) frontend.bus.send(message.reply, message.body.slice(), undefined, traced);
    if (message.subject.endsWith(".raw")) frontend.bus.send(message.reply, new Uint8Array([0, 255, 10, 128]));
    if (message.subject.endsWith(".fail")) {
      const headers = { "Nats-Service-Error": "boom", "Nats-Service-Error-Code": "500", "Pilot-Error": "HandlerError" };
      const body = { message: "boom \u0007", stack: "boom \u0007\n    at handler (fail.ts:3:9)\n" };
      frontend.bus.send(message.reply, Buffer.from(JSON.stringify(body)), undefined, headers);
    }
  });
  await frontend.nc.flush();
  return { seen };
}

test("F005 invoke puts the reply's bytes on stdout and nothing else", async (t) => {
  const room = await roomOf(t);
  const { seen } = await serveCalls(room);
  const text = await room.pilot(["invoke", "echo", "--data", '{"a": 1}']);
  t.deepEqual({ code: text.code, stdout: text.stdout, stderr: text.stderr }, { code: 0, stdout: '{"a": 1}', stderr: "" });
  const raw = await room.pilot(["invoke", "raw"]);
  t.deepEqual([...raw.bytes], [0, 255, 10, 128]);
  t.deepEqual(seen[0], { subject: "pilot.fn.main.echo", headers: [], body: '{"a": 1}' });
  const qualified = await room.pilot(["invoke", "silly:echo", "--account", "shop"]);
  t.is(qualified.code, 0);
  t.is(seen[2]?.subject, "pilot.fn.shop.silly.echo");
});

test("data that begins like JSON and is none is sent as it is, with a word about it", async (t) => {
  const room = await roomOf(t);
  await serveCalls(room);
  const run = await room.pilot(["invoke", "echo", "--data", '{"a":']);
  t.deepEqual([run.code, run.stdout], [0, '{"a":']);
  t.regex(run.stderr, /begins like JSON and is none/);
  t.is((await room.pilot(["invoke", "echo", "--data", "plain text"])).stderr, "");
});

test("invoke takes its body from a file or from stdin", async (t) => {
  const room = await roomOf(t);
  await serveCalls(room);
  const file = join(room.directory, "body.bin");
  await writeFile(file, new Uint8Array([1, 2, 0, 200]));
  t.deepEqual([...(await room.pilot(["invoke", "echo", "--data", `@${file}`])).bytes], [1, 2, 0, 200]);
  t.is((await room.pilot(["invoke", "echo", "-d", "-"], { stdin: ["one ", "two"] })).stdout, "one two");
});

test("F007 F008 invoke turns its flags into headers of the call, and only those that were given", async (t) => {
  const room = await roomOf(t);
  const { seen } = await serveCalls(room);
  const run = await room.pilot([
    "invoke",
    "echo",
    "--timeout",
    "2s",
    "--deadline",
    "150ms",
    "--memory",
    "256",
    "--runtime",
    "node@20",
    "--trace",
    "--header",
    "traceparent=00-ab",
  ]);
  t.is(run.code, 0);
  t.deepEqual(seen[0]?.headers.sort(), [
    "Pilot-Deadline=150",
    "Pilot-Memory=256",
    "Pilot-Runtime=node@20",
    "Pilot-Timeout=2000",
    "Pilot-Trace=1",
    "traceparent=00-ab",
  ]);
  t.regex(run.stderr, /rung\s+hot/);
  t.regex(run.stderr, /waited\s+1\.50 ms/);
  t.is(run.stdout, "");
});

test("invoke with --json tells body, encoding, headers and time", async (t) => {
  const room = await roomOf(t);
  await serveCalls(room);
  const json = async (words: string[]): Promise<Record<string, unknown>> =>
    JSON.parse((await room.pilot([...words, "--json"])).stdout) as Record<string, unknown>;
  t.like(await json(["invoke", "echo", "--data", "[1]", "--trace"]), {
    status: 200,
    body: [1],
    encoding: "json",
    headers: { "Pilot-Rung": "hot", "Pilot-Path": "frontend", "Pilot-Times": "1000;1001.5;1004" },
  });
  t.like(await json(["invoke", "echo", "--data", "hello"]), { body: "hello", encoding: "text" });
  t.like(await json(["invoke", "raw"]), { body: "AP8KgA==", encoding: "base64" });
  const failed = await room.pilot(["invoke", "fail", "--json"]);
  t.is(failed.code, 1);
  t.like(JSON.parse(failed.stdout), { status: 500, error: { name: "HandlerError", fault: "function" } });
});

test("a call that fails in the function ends with 1, with what happened on stderr and nothing on stdout", async (t) => {
  const room = await roomOf(t);
  await serveCalls(room);
  const run = await room.pilot(["invoke", "fail"]);
  t.is(run.code, 1);
  t.is(run.stdout, "");
  t.regex(run.stderr, /^pilot: HandlerError \(500\): boom \\x07\n {4}at handler \(fail\.ts:3:9\)\n {2}fault: the function/);
  t.false(run.stderr.includes("\u0007"));
});

test("a call that nobody answers ends with 3 when its time is over", async (t) => {
  const room = await roomOf(t);
  await serveCalls(room);
  const run = await room.pilot(["invoke", "silent", "--timeout", "1ms", "--deadline", "0ms"]);
  t.is(run.code, 3);
  t.regex(run.stderr, /no reply within 2001 ms/);
});

test("a call for which nobody listens ends with 3 at once", async (t) => {
  const room = await roomOf(t);
  const run = await room.pilot(["invoke", "echo"]);
  t.is(run.code, 3);
  t.regex(run.stderr, /Unavailable/);
});

test("Ctrl-C ends a command that waits with 130", async (t) => {
  const room = await roomOf(t);
  const { seen } = await serveCalls(room);
  const stop = new AbortController();
  const run = room.pilot(["invoke", "silent"], { signal: stop.signal });
  const timer = setInterval(() => {
    if (seen.length > 0) stop.abort();
  }, 5);
  t.teardown(() => clearInterval(timer));
  t.is((await run).code, 130);
});

test("F002 code in a file is sent inside the request with its event", async (t) => {
  const room = await roomOf(t);
  const frontend = await room.as("frontend");
  frontend.bus.listen(SUBJECT.inlineAll, { queue: DESK }, (message) =>
    frontend.bus.send(message.reply, Buffer.from(`${message.subject} ${Buffer.from(message.body).toString()}`)),
  );
  await frontend.nc.flush();
  const file = join(room.directory, "snippet.py");
  await writeFile(file, "def main(e, c):\n  return e\n");
  const run = await room.pilot(["invoke", "--code", file, "--handler", "main", "--data", '{"n":1}', "--account", "shop"]);
  const [subject, body] = [run.stdout.slice(0, 17), run.stdout.slice(18)];
  t.is(subject, "pilot.inline.shop");
  t.deepEqual(JSON.parse(body), { runtime: "python", code: "def main(e, c):\n  return e\n", handler: "main", event: { n: 1 } });
  t.is((await room.pilot(["invoke", "--code", file, "--data", "no json"])).code, 2);
});

test("functions are listed, shown and changed over the registry's contracts", async (t) => {
  const room = await roomOf(t);
  const { bus } = await room.as("scheduler");
  const asked: unknown[] = [];
  const version = {
    account: "main",
    name: "echo",
    version: 2,
    runtime: "node" as const,
    handler: "handler",
    digest: "a".repeat(64),
    bytes: 10,
    hasMap: false,
    environment: { SECRET: "do not show" },
    network: false,
    createdAt: 1,
  };
  bus.serve(listFunctions, [], () => ({ functions: [FUNCTION] }));
  bus.serve(showFunction, [], ({ name }) => {
    if (name !== "echo") throw new Fault("FunctionNotFound", `${name} does not exist`);
    return { function: FUNCTION, versions: [version] };
  });
  bus.serve(setFunction, [], (body) => {
    asked.push(body);
    return { function: FUNCTION, unconfirmed: ["frontend-7"] };
  });
  bus.serve(setAlias, [], (body) => {
    asked.push(body);
    return { function: FUNCTION, unconfirmed: [] };
  });
  bus.serve(setAccount, [], (body) => {
    asked.push(body);
    return { account: { name: "shop", containers: 1, active: true, createdAt: 1 }, unconfirmed: [] };
  });
  await served(room, "fn", "ls");
  const tab = (...words: string[]) => runCli(["__complete", "--", ...words], { env: { NATS_CONTEXT: room.context } });
  t.is((await tab("invoke", "")).stdout, "echo\n");
  t.is((await tab("fn", "show", "x")).stdout, "");
  t.regex((await room.pilot(["fn", "ls"])).stdout, /^ACCOUNT.*\nmain +echo +@2 +live → 2 +128 MB/);
  t.deepEqual(JSON.parse((await room.pilot(["fn", "list", "--json"])).stdout), [FUNCTION]);
  const shown = await room.pilot(["fn", "show", "echo"]);
  t.regex(shown.stdout, /subject +pilot\.fn\.main\.echo/);
  t.true(shown.stdout.includes("SECRET") && !shown.stdout.includes("do not show"));
  const missing = await room.pilot(["fn", "show", "ech"]);
  t.is(missing.code, 1);
  t.regex(missing.stderr, /FunctionNotFound \(404\): ech does not exist/);
  t.regex((await room.pilot(["fn", "set", "echo", "--memory", "256", "--class", "auto", "--direct", "off"])).stderr, /frontend-7/);
  t.is((await room.pilot(["alias", "set", "echo", "live", "1=90", "2=10"])).stdout, "live → 1=90 2=10\n");
  t.is((await room.pilot(["account", "add", "shop", "--timeout", "1s", "--memory", "none"])).code, 0);
  t.deepEqual(asked, [
    { account: "main", name: "echo", change: { memoryMb: 256, class: null, direct: false } },
    {
      account: "main",
      name: "echo",
      alias: "live",
      shares: [
        { version: 1, weight: 90 },
        { version: 2, weight: 10 },
      ],
    },
    { account: "shop", create: true, timeoutMs: 1_000, memoryMb: null },
  ]);
});

test("F023 F029 the fleet is shown as the hosts describe it", async (t) => {
  const room = await roomOf(t);
  const { bus } = await room.as("scheduler");
  const instance = {
    id: "i1",
    host: "h1",
    runtime: "node" as const,
    runtimeVersion: "node 20.20.2",
    memoryMb: 512,
    usedMb: 128,
    state: "warm" as const,
    account: null,
    network: false,
    containers: [],
    code: [],
  };
  const active = {
    ...instance,
    id: "i2",
    state: "active" as const,
    account: "main",
    code: ["main.echo.2"],
    containers: [
      { id: "c1", state: "idle" as const, account: "main", function: "echo", version: 2, memoryMb: 128, cpu: 0.25, calls: 3, idleMs: 5 },
    ],
  };
  const host = {
    id: "h1",
    epoch: "e",
    memoryMb: 1_000,
    usedMb: 0,
    cores: 2,
    draining: false,
    isolation: {
      kind: "process",
      namespaces: false,
      seccomp: false,
      cgroups: "none",
      ownUid: false,
      network: "none",
      gaps: ["no isolation"],
    },
    runtimes: { node: "20.20.2" },
    instances: [instance, active],
    cache: [{ digest: "b".repeat(64), bytes: 2_000, uses: 3 }],
    downloads: 1,
    grants: [],
    functions: [
      {
        account: "main",
        function: "echo",
        version: 2,
        calls: 4,
        direct: 1,
        failures: { TimedOut: 1 },
        rungs: { hot: 3, warm: 1 },
        runMs: { mean: 1, p50: 1, p99: 2 },
      },
    ],
    counters: {},
  };
  let pools = [{ runtime: "node" as const, memoryMb: 512, warm: 2 }];
  bus.serve(showFleet, [], () => ({
    hosts: [{ ...host, pools }],
    silent: ["h9"],
    nodes: [{ role: "scheduler", id: "s1", aliveMs: 1 }],
    waiting: {},
    classes: { "main.echo": "busy" as const },
  }));
  bus.serve(setPool, [], (body) => ({ pools: (pools = [body as (typeof pools)[number]]), unconfirmed: [] }));
  bus.serve(cancelCall, [], () => ({ cancelled: false }));
  await served(room, "pool", "show");
  const warm = await room.pilot(["instance", "ls", "--warm", "--json"]);
  t.deepEqual(JSON.parse(warm.stdout), [instance]);
  t.regex(warm.stderr, /no answer from h9/);
  t.regex((await room.pilot(["container", "ls"])).stdout, /c1 +i2 +h1 +idle +main +echo@2 +128 MB +0\.250 +3/);
  t.regex((await room.pilot(["pool", "show"])).stdout, /h1 +node +512 MB +2 +1 +1 +0 +0/);
  t.regex((await room.pilot(["pool", "set", "warm", "0"])).stdout, /node +512 MB +0/);
  t.regex((await room.pilot(["cache", "ls"])).stdout, /h1 +bbbbbbbbbbbb +2\.0 KB +3/);
  t.regex((await room.pilot(["fn", "stats"])).stdout, /main +echo +4 +25 % +hot 3, warm 1 +TimedOut 1 .*busy/);
  t.regex((await room.pilot(["fn", "where", "echo"])).stdout, /h1 +i2 +2 +c1 \(idle\)/);
  const cancel = await room.pilot(["call", "cancel", "abc"]);
  t.deepEqual(cancel, { ...cancel, code: 1, stdout: "", stderr: "pilot: abc neither waits nor runs\n" });
  const doctor = await room.pilot(["doctor", "--offline", "--json"]);
  t.is(doctor.code, 3, "no frontend answers");
  const { findings } = JSON.parse(doctor.stdout) as { findings: { check: string; verdict: string }[] };
  t.like(Object.fromEntries(findings.map((row) => [row.check, row.verdict])), {
    connection: "ok",
    broker: "ok",
    jetstream: "ok",
    scheduler: "ok",
    frontend: "fail",
    "h1 gap": "warn",
    h9: "fail",
  });
});

test("F099 logs shows what was kept, of one call if asked, and follows without a gap", async (t) => {
  const room = await roomOf(t);
  const operator = await room.as("operator");
  const manager = await operator.nc.jetstreamManager();
  await manager.streams.add({ name: LOG_STREAM_NAME, subjects: [SUBJECT.logsAll] });
  const write = (name: string, call: string, ...texts: string[]): void => {
    const lines = texts.map((text) => ({ call, version: 2, stream: "stderr" as const, text, at: Date.now() }));
    operator.bus.tell(functionLogs, ["main", name], { host: "h1", lines });
  };
  t.is((await room.pilot(["logs"])).stdout, "");
  write("echo", "c1", "one", "two");
  write("echo", "c2", "three\u001b[2J");
  write("other", "c3", "four");
  await until(async () => (await manager.streams.info(LOG_STREAM_NAME)).state.messages === 3, "three records");
  const kept = await room.pilot(["logs", "echo"]);
  t.is(kept.code, 0, kept.stderr);
  t.deepEqual(
    kept.stdout
      .trim()
      .split("\n")
      .map((row) => row.split(" ").slice(2).join(" ")),
    ["c1 E one", "c1 E two", "c2 E three\\x1b[2J"],
  );
  t.regex((await room.pilot(["logs", "-n", "1"])).stdout, /^[^\n]+ other@2 c3 E four\n$/);
  t.like(JSON.parse((await room.pilot(["logs", "--call", "c2", "--json"])).stdout), {
    call: "c2",
    host: "h1",
    function: "echo",
    account: "main",
  });
  const stop = new AbortController();
  let heard = "";
  const following = room.pilot(["logs", "-f", "echo"], { signal: stop.signal, onStdout: (text) => (heard += text) });
  await until(() => heard.includes("three"), "what was kept");
  write("echo", "c4", "five");
  await until(() => heard.includes("c4 E five"), "what came later");
  stop.abort();
  t.is((await following).code, 0);
});

test("names and texts that come from others cannot rewrite the terminal", async (t) => {
  const room = await roomOf(t);
  const { bus } = await room.as("scheduler");
  bus.serve(listFunctions, [], () => ({ functions: [{ ...FUNCTION, aliases: { "\u001b[2J": [{ version: 1, weight: 100 }] } }] }));
  await served(room, "fn", "ls");
  t.false((await room.pilot(["fn", "ls"])).stdout.includes("\u001b"));
});

test("a credential without the right ends with 1 and says so", async (t) => {
  const room = await roomOf(t);
  const broker = await startTestBroker(t);
  const run = await runCli(["fn", "ls", "--server", broker.url], { env: { PILOT_STATE_HOME: room.directory, HOME: room.directory } });
  t.is(run.code, 1, run.stderr);
  t.regex(run.stderr, /NotAllowed/);
});

test("a deploy that cannot be bundled ends with 1 and the place in the source", async (t) => {
  const room = await roomOf(t);
  const directory = join(room.directory, "broken");
  await mkdir(directory);
  await writeFile(join(directory, "index.ts"), "export const handler = async () => {\n  return ((;\n};\n");
  const run = await room.pilot(["deploy", directory]);
  t.is(run.code, 1, run.stderr);
  t.regex(run.stderr, /BadCode.*index\.ts:2/);
});

/** A served endpoint exists once it answers. */
async function served(room: Room, ...words: string[]): Promise<void> {
  await until(async () => (await room.pilot(words)).code === 0, `an answer to pilot ${words.join(" ")}`);
}
