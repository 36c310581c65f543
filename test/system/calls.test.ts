/** What callers and functions may do wrong, on real processes; and that the next call works each time. */
import anyTest, { type TestFn } from "ava";
import { connect as dial, type NatsConnection, headers as newHeaders } from "nats";
import { BODY_LIMIT } from "../../protocol/limits.ts";
import { cancelCall, showCall } from "../../protocol/messages/fleet.ts";
import { setAccount } from "../../protocol/messages/registry.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;
/** A plain client, as anybody has it. */
let plain: NatsConnection;

const ECHO = "export const handler = async (event) => event";

test.before(async () => {
  platform = await startPlatform();
  plain = await dial({ servers: platform.running.nats });
  await platform.deploy("echo", ECHO);
});
test.after.always(async () => {
  await plain?.close();
  await platform?.stop();
});

const works = async (t: { is(a: unknown, b: unknown, message?: string): void }) => {
  const next = await platform.call("echo", { still: "works" });
  t.is(next.error, undefined, next.message);
};

test("a plain client's request gets the bare reply, and errors in the micro headers", async (t) => {
  const reply = await plain.request("pilot.fn.main.echo", '{"x":1}', { timeout: 10_000 });
  t.is(reply.string(), '{"x":1}');
  t.is(reply.headers, undefined);
  const missing = await plain.request("pilot.fn.main.nothing", "{}", { timeout: 10_000 });
  t.is(missing.headers?.get("Nats-Service-Error-Code"), "404");
  t.is(missing.headers?.get("Pilot-Error"), "FunctionNotFound");
  t.regex(missing.headers?.get("Nats-Service-Error") ?? "", /nothing/);
});

test("bodies of no byte, of bytes, and of the limit come back as they were; one byte more is refused", async (t) => {
  t.is((await platform.call("echo", new Uint8Array())).body.length, 0);
  const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
  t.deepEqual([...(await platform.call("echo", bytes)).body], [...bytes]);
  const most = new Uint8Array(BODY_LIMIT).fill(0xfe);
  t.is((await platform.call("echo", most)).body.length, BODY_LIMIT);
  t.is((await platform.call("echo", new Uint8Array(BODY_LIMIT + 1))).error, "PayloadTooLarge");
  await works(t);
});

test("F002 code inside the request runs and leaves nothing registered", async (t) => {
  const body = (change: object) =>
    new TextEncoder().encode(
      JSON.stringify({ runtime: "node", code: "export const handler = ({ x }) => x * 2", event: { x: 21 }, ...change }),
    );
  t.is((await platform.raw("pilot.inline.main", body({}))).value, 42);
  t.is(
    (
      await platform.raw(
        "pilot.inline.main",
        body({ runtime: "python", code: "def handler(event, context):\n    return event['x'] + 1\n" }),
      )
    ).value,
    22,
  );
  t.is((await platform.raw("pilot.inline.main", body({ code: "export const handler = (" }))).error, "BadCode");
  t.is((await platform.raw("pilot.inline.main", body({ code: "export const other = 1" }))).error, "BadCode");
  t.is((await platform.raw("pilot.inline.main", body({ surprise: 1 }))).error, "BadRequest");
  t.is((await platform.call("inline", {})).error, "FunctionNotFound");
});

test("F007 a request's own time limit ends the run, and the next call is served by a fresh container", async (t) => {
  await platform.deploy("sleeper", "export const handler = () => new Promise(() => setInterval(() => {}, 1000))");
  const first = await platform.call("sleeper", {}, { "Pilot-Timeout": "200" });
  t.is(first.error, "TimedOut");
  const second = await platform.call("sleeper", {}, { "Pilot-Timeout": "200" });
  t.not(second.headers["Pilot-Container"], first.headers["Pilot-Container"]);
  await works(t);
});

test("F006 an account's stored time limit ends slow code, whatever the function says", async (t) => {
  await platform.deploy("sleeper", "export const handler = () => new Promise(() => setInterval(() => {}, 1000))", {
    account: "short",
    settings: { timeoutMs: 60_000 },
  });
  await platform.operator.bus.ask(setAccount, [], { account: "short", create: false, timeoutMs: 300 });
  const ended = await platform.call("short/sleeper");
  t.is(ended.error, "TimedOut");
  t.regex(ended.message, /300 ms/);
});

test("an endless loop, and code that ignores SIGTERM, end at their time limit", async (t) => {
  await platform.deploy("loop", "export const handler = () => { process.on('SIGTERM', () => {}); for (;;); }", {
    settings: { timeoutMs: 300 },
  });
  t.is((await platform.call("loop")).error, "TimedOut");
  await platform.deploy(
    "pyloop",
    "import signal\ndef handler(event, context):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: pass\n",
    { runtime: "python", settings: { timeoutMs: 300 } },
  );
  t.is((await platform.call("pyloop")).error, "TimedOut");
  await works(t);
});

test("out of memory, crash, exit, throw and unhandled rejection are told apart, and the next call works", async (t) => {
  const source = `
    const hog = [];
    export const handler = async ({ how }) => {
      if (how === "memory") for (;;) hog.push(Buffer.alloc(8 << 20, 1));
      if (how === "exit") process.exit(3);
      if (how === "kill") process.kill(process.pid, "SIGSEGV");
      if (how === "throw") throw new TypeError("thrown on purpose");
      if (how === "rejection") { Promise.reject(new Error("forgotten")); await new Promise(() => setInterval(() => {}, 1000)); }
      return "fine";
    };`;
  await platform.deploy("ends", source, { settings: { memoryMb: 64, timeoutMs: 20_000 } });
  const expected: Record<string, [string, RegExp]> = {
    memory: ["OutOfMemory", /64 MB/],
    exit: ["Crashed", /3/],
    kill: ["Crashed", /SIG|signal/i],
    throw: ["HandlerError", /TypeError: thrown on purpose/],
    rejection: ["HandlerError", /forgotten/],
  };
  for (const [how, [error, message]] of Object.entries(expected)) {
    const ended = await platform.call("ends", { how });
    t.is(ended.error, error, `${how}: ${ended.message}`);
    t.regex(ended.message, message);
    t.is((await platform.call("ends", {})).value, "fine");
  }
});

test("Python's ends are told apart too", async (t) => {
  const source = `
import os, sys
def handler(event, context):
    how = event.get("how")
    if how == "memory":
        hog = []
        while True: hog.append(bytearray(8 << 20))
    if how == "exit": os._exit(3)
    if how == "throw": raise ValueError("thrown on purpose")
    return "fine"
`;
  await platform.deploy("pyends", source, { runtime: "python", settings: { memoryMb: 64, timeoutMs: 20_000 } });
  for (const [how, error] of [
    ["memory", "OutOfMemory"],
    ["exit", "Crashed"],
    ["throw", "HandlerError"],
  ] as const) {
    const ended = await platform.call("pyends", { how });
    t.is(ended.error, error, `${how}: ${ended.message}`);
    t.is((await platform.call("pyends", {})).value, "fine");
  }
});

test("what cannot be sent as a result is BadResult or ResultTooLarge, undefined is null", async (t) => {
  const source = `
    export const handler = ({ what }) => {
      if (what === "large") return Buffer.alloc(50 << 20);
      if (what === "cycle") { const a = {}; a.a = a; return a; }
      if (what === "bigint") return 1n;
      if (what === "undefined") return undefined;
      return "fine";
    };`;
  await platform.deploy("results", source);
  t.is((await platform.call("results", { what: "large" })).error, "ResultTooLarge");
  t.is((await platform.call("results", { what: "cycle" })).error, "BadResult");
  t.is((await platform.call("results", { what: "bigint" })).error, "BadResult");
  t.is((await platform.call("results", { what: "undefined" })).text, "null");
  t.is((await platform.call("results", {})).value, "fine");
});

test("a thrown error carries the function's own source-mapped stack", async (t) => {
  const { mkdtemp, rm, writeFile } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const directory = await mkdtemp(join(tmpdir(), "pilot source "));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, "shop.ts");
  await writeFile(
    file,
    'interface Order { id: string }\n\nfunction ship(order: Order): never {\n  throw new RangeError("no such order " + order.id);\n}\n\nexport const handler = (order: Order) => ship(order);\n',
  );
  await platform.deployPath("shop", file);
  const body = await plain.request("pilot.fn.main.shop", '{"id":"7"}', { timeout: 10_000 });
  const { stack } = body.json<{ stack: string }>();
  t.regex(stack, /RangeError: no such order 7/);
  t.regex(stack, /ship.*shop\.ts:4:9/);
});

test("code that only fails when it runs fails at the first call, with its reason", async (t) => {
  await platform.deploy("broken", "null.x; export const handler = () => 1");
  const first = await platform.call("broken");
  t.is(first.error, "HandlerError");
  t.regex(first.message, /null/);
  t.is((await platform.call("broken")).error, "HandlerError");
  await works(t);
});

test("a forged reply subject into the internal tree, or a very long one, is not answered and harms nobody", async (t) => {
  const before = (await platform.fleet()).nodes.length;
  for (const reply of [
    "_pilot.node.scheduler-1.sync",
    "_pilot.service.registry.remove-function",
    "$JS.API.STREAM.DELETE.KV_pilot_functions",
    `_INBOX.${"x".repeat(3_800)}`,
    `_INBOX.${"x".repeat(4_096)}`,
  ]) {
    // The broker itself closes the connection of whoever sends a line over 4 KB: each attack has its own.
    const attacker = await dial({ servers: platform.running.nats, reconnect: false });
    attacker.publish("pilot.fn.main.echo", '{"account":"main","name":"echo"}', { reply });
    attacker.publish("pilot.fn.main.nothing", "{}", { reply });
    await Promise.race([attacker.flush(), attacker.closed()]);
    if (!attacker.isClosed()) await attacker.close();
  }
  await works(t);
  t.is((await platform.fleet()).nodes.length, before);
});

test("subjects and headers of nonsense get typed errors", async (t) => {
  const error = async (subject: string, headers?: Record<string, string>) => {
    const wire = newHeaders();
    for (const [name, value] of Object.entries(headers ?? {})) wire.set(name, value);
    return (await plain.request(subject, "{}", { timeout: 10_000, ...(headers && { headers: wire }) })).headers?.get("Pilot-Error");
  };
  t.is(await error("pilot.fn.a.b.c.d"), "BadName");
  t.is(await error("pilot.fn.main"), "BadName");
  t.is(await error("pilot.fn.main.Ünicode"), "BadName");
  t.is(await error(`pilot.fn.main.${"x".repeat(300)}`), "BadName");
  t.is(await error("pilot.fn.main.echo", { "Pilot-Memory": "0" }), "BadHeader");
  t.is(await error("pilot.fn.main.echo", { "Pilot-Memory": "-1" }), "BadHeader");
  t.is(await error("pilot.fn.main.echo", { "Pilot-Memory": "1048576" }), "BadHeader");
  t.is(await error("pilot.fn.main.echo", { "Pilot-Wish": "gold" }), "BadHeader");
  t.is(
    await error("pilot.fn.main.echo", { "Pilot-Memory": "16384" }),
    (await platform.fleet()).hosts.some((host) => host.memoryMb >= 16_384) ? undefined : "ConfigurationUnavailable",
  );
});

test("a publish without reply, and a caller that goes away, leave no trace but counters", async (t) => {
  plain.publish("pilot.fn.main.echo", "{}");
  const leaver = await dial({ servers: platform.running.nats });
  leaver.publish("pilot.fn.main.echo", "{}", { reply: "_INBOX.leaver.1" });
  await leaver.flush();
  await leaver.close();
  await works(t);
});

test("deploy, then invoke: no call is answered by the old version after deploy returned", async (t) => {
  for (let nth = 1; nth <= 12; nth++) {
    const version = await platform.deploy("newest", `export const handler = () => ${nth}`, { settings: { class: "busy" } });
    const replies = await Promise.all(Array.from({ length: 8 }, () => platform.call("newest")));
    for (const reply of replies) {
      t.is(reply.error, undefined, reply.message);
      t.is(reply.value, nth);
      t.is(reply.headers["Pilot-Version"], String(version));
    }
    // Long enough for the version to be granted, so that the next deploy has a grant to recall.
    await until(async () => (await platform.call("newest")).headers["Pilot-Path"] === "direct", "a direct answer", 10_000);
  }
});

test("under a steady load, every call gets an answer of the version that was live when it was made, or a newer one", async (t) => {
  let live = await platform.deploy("steady", "export const handler = () => 1", { settings: { class: "busy" } });
  let running = true;
  const wrong: string[] = [];
  let answered = 0;
  const load = Array.from({ length: 8 }, async () => {
    while (running) {
      const least = live;
      const reply = await platform.call("steady");
      answered++;
      if (reply.error !== undefined || Number(reply.value) < least) wrong.push(`${reply.error ?? reply.value} while ${least} was live`);
    }
  });
  for (let nth = 2; nth <= 8; nth++) {
    await until(() => answered > nth * 40, "some calls", 30_000);
    live = await platform.deploy("steady", `export const handler = () => ${nth}`, { settings: { class: "busy" } });
  }
  running = false;
  await Promise.all(load);
  t.deepEqual(wrong, []);
});

test("two deploys of one name at once make two versions, and both answer right", async (t) => {
  const versions = await Promise.all([1, 2, 3].map((nth) => platform.deploy("race", `export const handler = () => ${nth}`)));
  t.is(new Set(versions).size, 3);
  for (const [at, version] of versions.entries()) t.is((await platform.call(`race:${version}`)).value, at + 1);
});

test("a third call within ten seconds makes a function busy, and hosts then answer it directly", async (t) => {
  await platform.deploy("third", ECHO);
  await until(async () => (await platform.call("third")).headers["Pilot-Path"] === "direct", "a direct answer", 10_000);
  const paths: (string | undefined)[] = [];
  while (paths.length < 100) paths.push((await platform.call("third")).headers["Pilot-Path"]);
  t.true(paths.filter((path) => path === "direct").length > 60, JSON.stringify(paths.filter((path) => path !== "direct").length));
});

test("a function declared rare, or kept from direct answers, is always placed", async (t) => {
  await platform.deploy("placed", ECHO, { settings: { class: "rare" } });
  for (let nth = 0; nth < 6; nth++) t.not((await platform.call("placed")).headers["Pilot-Path"], "direct");
});

test("F028 F099 both clock ends of a call are recorded, and its output is kept by its id", async (t) => {
  await platform.deploy("talker", "export const handler = () => { console.log('hello from', 'the function'); return 1; }");
  const { headers } = await platform.call("talker");
  const id = headers["Pilot-Call"] ?? "";
  const { call } = await until(async () => platform.operator.bus.ask(showCall, [], { id }).catch(() => undefined), "the record", 10_000);
  t.is(call.id, id);
  t.true(call.startedAt >= call.receivedAt && call.endedAt >= call.startedAt);
  t.is(`${call.receivedAt};${call.startedAt};${call.endedAt}`, headers["Pilot-Times"] ?? "");
  const { readLogs } = await import("../support/read-logs.ts");
  const lines = await until(
    async () => {
      const found = (await readLogs(platform.operator, "main", "talker")).filter((line) => line.call === id);
      return found.length > 0 ? found : undefined;
    },
    "its output",
    10_000,
  );
  t.deepEqual(
    lines.map((line) => [line.stream, line.text]),
    [["stdout", "hello from the function"]],
  );
});

test("a running call can be cancelled by its id", async (t) => {
  await platform.deploy(
    "long",
    "export const handler = (_, context) => { console.log('id', context.callId); return new Promise(() => setInterval(() => {}, 1000)); }",
  );
  const { readLogs } = await import("../support/read-logs.ts");
  const running = platform.call("long");
  const line = await until(
    async () => (await readLogs(platform.operator, "main", "long")).find((found) => found.text.startsWith("id ")),
    "the call to run",
    10_000,
  );
  t.deepEqual(await platform.operator.bus.ask(cancelCall, [], { id: line.call }), { cancelled: true });
  t.is((await running).error, "Cancelled");
  t.deepEqual(await platform.operator.bus.ask(cancelCall, [], { id: line.call }), { cancelled: false });
});

test("handlers call other functions, publish below their account and keep values", async (t) => {
  await platform.deploy("double", "export const handler = ({ n }) => ({ n: n * 2 })");
  const source = `
    export const handler = async (event, context) => {
      const doubled = await context.call("double", { n: event.n });
      await context.publish("results.done", doubled);
      await context.kv.put("last", doubled);
      return { doubled, kept: await context.kv.get("last") };
    };`;
  await platform.deploy("actor", source);
  const heard: string[] = [];
  const subscription = plain.subscribe("pilot.pub.main.>", {
    callback: (_, message) => heard.push(`${message.subject} ${message.string()}`),
  });
  await plain.flush();
  const { value, error, message } = await platform.call("actor", { n: 21 });
  t.is(error, undefined, message);
  t.deepEqual((value as { doubled: unknown }).doubled, { n: 42 });
  await until(() => heard.length > 0, "the published message");
  t.deepEqual(heard, ['pilot.pub.main.results.done {"n":42}']);
  subscription.unsubscribe();
});

test("functions that call each other for ever are stopped by depth, and nobody else is hurt", async (t) => {
  await platform.deploy("ping", "export const handler = (event, context) => context.call('ping', event)", {
    settings: { timeoutMs: 20_000, memoryMb: 32 },
  });
  const ended = await platform.call("ping", {});
  t.truthy(ended.error);
  t.regex(`${ended.error} ${ended.message}`, /ChainTooDeep|deep/);
  await works(t);
});
