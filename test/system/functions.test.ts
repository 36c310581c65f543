/** What a function is given and what it may do, in both languages, on real processes. */
import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { type Publication, publish } from "../../cli/publish.ts";
import { type BundleOptions, makeBundle } from "../../nodes/io/bundle/index.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { preloadFunction } from "../../protocol/messages/fleet.ts";
import { listAccounts, setAlias } from "../../protocol/messages/registry.ts";
import { noOutside, openOutside } from "../nodes/sandbox/outside.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { readLogs } from "../support/read-logs.ts";
import { runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;

test.before(async () => {
  platform = await startPlatform();
});
test.after.always(() => platform?.stop());

/** Writes files into a directory of the test, and gives its path. */
async function files(t: ExecutionContext<never>, texts: Readonly<Record<string, string>>): Promise<string> {
  const directory = await temporaryDirectory(t);
  for (const [name, text] of Object.entries(texts)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  return directory;
}
const deployAs = async (path: string, options: BundleOptions, order: Partial<Publication> & { readonly name: string }) =>
  publish(platform.operator, await makeBundle(path, options), { account: "main", ...order });

test("the context tells a Node function who it is and how long it has, and does in its name what it asks", async (t) => {
  const source = `
    export const handler = async (event, context) => {
      const first = context.getRemainingTimeInMillis();
      while (context.getRemainingTimeInMillis() === first) await new Promise((resolve) => setTimeout(resolve, 2));
      context.log.warn("from the context", { nth: event.nth });
      console.error("to stderr");
      await context.publish("node.done", { nth: event.nth });
      await context.publish("node.bytes", Buffer.from([0, 255, 1]));
      await context.kv.put("k", { kept: event.nth });
      await context.kv.put("b", Buffer.from([0, 255]));
      const kept = await context.kv.get("k");
      const bytes = [...(await context.kv.get("b"))];
      await context.kv.delete("k");
      const { callId, functionName, functionVersion, memoryLimitInMB, account } = context;
      return { first, later: context.getRemainingTimeInMillis(), callId, functionName, functionVersion, memoryLimitInMB, account, kept, bytes, gone: (await context.kv.get("k")) ?? null, called: await context.call("nodeactor-callee", { n: 1 }) };
    };`;
  await platform.deploy("nodeactor-callee", "export const handler = ({ n }) => n + 1");
  await acts(t, "nodeactor", source, "node");
});

test("the context tells a Python function the same, and does the same", async (t) => {
  const source = `
import sys, time
def handler(event, context):
    first = context.get_remaining_time_in_millis()
    while context.get_remaining_time_in_millis() == first: time.sleep(0.002)
    context.log.warn("from the context", nth=event["nth"])
    print("to stderr", file=sys.stderr)
    context.publish("python.done", {"nth": event["nth"]})
    context.publish("python.bytes", bytes([0, 255, 1]))
    context.kv.put("k", {"kept": event["nth"]})
    context.kv.put("b", bytes([0, 255]))
    kept = context.kv.get("k")
    data = list(context.kv.get("b"))
    context.kv.delete("k")
    return {"first": first, "later": context.get_remaining_time_in_millis(), "callId": context.call_id, "functionName": context.function_name, "functionVersion": context.function_version,
            "memoryLimitInMB": context.memory_limit_in_mb, "account": context.account, "kept": kept, "bytes": data, "gone": context.kv.get("k"), "called": context.call("pythonactor-callee", {"n": 1})}
`;
  await platform.deploy("pythonactor-callee", "export const handler = ({ n }) => n + 1");
  await acts(t, "pythonactor", source, "python");
});

async function acts(t: ExecutionContext<never>, name: string, source: string, runtime: "node" | "python"): Promise<void> {
  const version = await platform.deploy(name, source, { runtime, settings: { memoryMb: 160, timeoutMs: 20_000 } });
  const heard: [string, number[]][] = [];
  const subscription = platform.anonymous.nc.subscribe(`pilot.pub.main.${runtime}.>`, {
    callback: (_, message) => heard.push([message.subject, [...message.data]]),
  });
  await platform.anonymous.nc.flush();
  const { value, error, message, headers } = await platform.call(name, { nth: 7 });
  t.is(error, undefined, message);
  const said = value as Record<string, number | string>;
  t.like(said, {
    callId: headers["Pilot-Call"],
    functionName: name,
    functionVersion: String(version),
    memoryLimitInMB: 160,
    account: "main",
    kept: { kept: 7 },
    bytes: [0, 255],
    gone: null,
    called: 2,
  });
  const [first, later] = [Number(said["first"]), Number(said["later"])];
  t.true(first > 0 && first <= 20_000 && later < first && later >= 0, `${first} then ${later}`);
  await until(() => heard.length >= 2, "what was published");
  t.deepEqual(heard, [
    [
      `pilot.pub.main.${runtime}.done`,
      [
        ...new TextEncoder().encode(
          runtime === "node" ? '{"nth":7}' : heard[0] ? new TextDecoder().decode(Uint8Array.from(heard[0][1])) : "",
        ),
      ],
    ],
    [`pilot.pub.main.${runtime}.bytes`, [0, 255, 1]],
  ]);
  t.deepEqual(JSON.parse(new TextDecoder().decode(Uint8Array.from(heard[0]?.[1] ?? []))), { nth: 7 });
  subscription.unsubscribe();
  const lines = await until(
    async () => {
      const found = (await readLogs(platform.operator, "main", name)).filter((line) => line.call === headers["Pilot-Call"]);
      return found.length >= 2 ? found : undefined;
    },
    "both lines",
    20_000,
  );
  t.true(
    lines.some((line) => line.stream === "stderr" && line.text === "to stderr"),
    JSON.stringify(lines),
  );
  const log = lines.find((line) => line.stream === "log");
  t.like(JSON.parse(log?.text ?? "{}"), { level: "warn", msg: "from the context", nth: 7 });
}

test("a function that was deployed with network reaches what is outside, and neither the broker nor a server on the loopback, in both languages", async (t) => {
  const server = createServer((socket) => socket.end("reached"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const loopback = { host: "127.0.0.1", port: typeof address === "object" && address !== null ? address.port : 0 };
  const broker = { host: "127.0.0.1", port: Number(new URL(platform.running.nats).port) };
  const { hosts } = await platform.fleet();
  const able = hosts.some(({ isolation }) => isolation.network === "own");
  const node = `import { connect } from "node:net";
    export const handler = ({ host, port }) => new Promise((resolve) => {
      let text = "";
      connect(port, host).on("data", (chunk) => (text += chunk)).on("end", () => resolve(text)).on("error", (error) => resolve(error.code ?? "refused"));
    });`;
  const python = `
import socket
def handler(event, context):
    try:
        with socket.create_connection((event["host"], event["port"]), timeout=5) as connection:
            return connection.recv(100).decode()
    except OSError as error:
        return type(error).__name__
`;
  const far = able && noOutside() === undefined ? await openOutside(t) : undefined;
  for (const [runtime, source] of [
    ["node", node],
    ["python", python],
  ] as const) {
    await platform.deploy(`online-${runtime}`, source, { runtime, network: true });
    await platform.deploy(`offline-${runtime}`, source, { runtime });
    const call = (name: string, to: { host: string; port: number }) =>
      platform.call(`${name}-${runtime}`, to, { "Pilot-Deadline": "20000" });
    for (const to of [loopback, broker]) {
      const online = await call("online", to);
      if (able) t.regex(String(online.value), /^(ECONNREFUSED|ConnectionRefusedError)$/, `${runtime} ${online.message}`);
      else if (hosts.every(({ isolation }) => isolation.network === "none")) t.is(online.error, "ConfigurationUnavailable");
    }
    const offline = await call("offline", loopback);
    t.is(offline.error, undefined, offline.message);
    if (able) t.regex(String(offline.value), /^(ECONNREFUSED|ConnectionRefusedError)$/);
    if (far === undefined) continue;
    t.is((await call("online", { host: far.far, port: far.port })).value, far.greeting, runtime);
    t.not((await call("offline", { host: far.far, port: far.port })).value, far.greeting, runtime);
  }
});

test("variables given at deploy are the function's environment, and none of the host's is", async (t) => {
  const environment = { GREETING: "guten Tag", EMPTY: "", ODD: "a=b\nc" };
  await platform.deploy("env-node", "export const handler = () => process.env", { environment });
  await platform.deploy("env-python", "import os\ndef handler(event, context):\n    return dict(os.environ)\n", {
    runtime: "python",
    environment,
  });
  for (const name of ["env-node", "env-python"]) {
    const seen = (await platform.call(name)).value as Record<string, string>;
    t.like(seen, environment, name);
    const strange = Object.keys(seen).filter(
      (key) =>
        process.env[key] !== undefined &&
        seen[key] === process.env[key] &&
        !["PATH", "LANG", "LC_ALL", "HOME", "PWD", "SHLVL", "_", "TZ"].includes(key),
    );
    t.deepEqual(strange, [], name);
    // Who it is, it may know; where the platform is, it may not.
    const ours = Object.keys(seen).filter((key) => /^(PILOT|NATS|npm)_/i.test(key));
    t.deepEqual(ours.sort(), ["PILOT_ACCOUNT", "PILOT_FUNCTION", "PILOT_MEMORY_MB", "PILOT_VERSION"], name);
  }
});

test("a handler of another name and module runs, and one that is not there is refused at deploy", async (t) => {
  const node = await files(t, { "shop.mjs": "export const sell = () => 'sold'; export const handler = () => 'default';" });
  await deployAs(join(node, "shop.mjs"), { handler: "sell" }, { name: "sell" });
  t.is((await platform.call("sell")).value, "sold");
  const python = await files(t, { "shop.py": "def sell(event, context):\n    return 'sold'\n" });
  await deployAs(python, { handler: "shop.sell" }, { name: "pysell" });
  t.is((await platform.call("pysell")).value, "sold");
  await t.throwsAsync(makeBundle(join(node, "shop.mjs"), { handler: "buy" }), { name: "BadCode" });
  await t.throwsAsync(makeBundle(join(python, "shop.py"), { handler: "buy" }), { name: "BadCode" });
});

test("a directory runs with its node_modules, or with the Python packages that are vendored in it", async (t) => {
  const node = await files(t, {
    "package.json": '{"name":"app","type":"module","main":"index.js"}',
    "index.js":
      'import { shout } from "loud"; import tables from "./tables.json" with { type: "json" }; export const handler = ({ text }) => shout(text) + tables.mark;',
    "tables.json": '{"mark":"!"}',
    "node_modules/loud/package.json": '{"name":"loud","version":"1.0.0","main":"main.cjs"}',
    "node_modules/loud/main.cjs": 'exports.shout = (text) => require("./deep/upper.cjs")(text);',
    "node_modules/loud/deep/upper.cjs": "module.exports = (text) => text.toUpperCase();",
  });
  await platform.deployPath("loud", node);
  const loud = await platform.call("loud", { text: "hey" });
  t.is(loud.value, "HEY!", loud.message);
  const python = await files(t, {
    "main.py":
      "from loudly import shout\nfrom loudly.data import mark\ndef handler(event, context):\n    return shout(event['text']) + mark()\n",
    "vendor/loudly/__init__.py": "def shout(text):\n    return text.upper()\n",
    "vendor/loudly/data.py": "import pkgutil\ndef mark():\n    return pkgutil.get_data('loudly', 'mark.txt').decode().strip()\n",
    "vendor/loudly/mark.txt": "!\n",
  });
  await platform.deployPath("pyloud", python);
  const pyloud = await platform.call("pyloud", { text: "hey" });
  t.is(pyloud.value, "HEY!", pyloud.message);
});

test("code above a megabyte runs in both languages, and is downloaded once for all containers of it", async (t) => {
  // More than what is sent by frame: it goes into the instance as a file.
  const table = Array.from({ length: 60_000 }, (_, nth) => `"row ${nth} of the table"`).join(",\n");
  const node = await files(t, {
    "large.mjs": `const table = [${table}];\nexport const handler = ({ at }) => new Promise((resolve) => setTimeout(resolve, 300, table[at]));\n`,
  });
  const python = await files(t, {
    "large.py": `import time\nTABLE = [${table}]\ndef handler(event, context):\n    time.sleep(0.3)\n    return TABLE[event["at"]]\n`,
    "data.bin": "",
  });
  // A zip makes texts small: noise stays what it is.
  await writeFile(join(python, "data.bin"), randomBytes(1_500_000));
  const downloads = async () => (await platform.fleet()).hosts.reduce((sum, host) => sum + host.downloads, 0);
  for (const [name, path, account] of [
    ["large", join(node, "large.mjs"), "largenode"],
    ["pylarge", python, "largepython"],
  ] as const) {
    const { version } = await publish(platform.operator, await makeBundle(path, name === "pylarge" ? { handler: "large.handler" } : {}), {
      account,
      name,
    });
    t.true(version.bytes > LIMITS.codeSmall.value, `${name}: ${version.bytes}`);
    const before = await downloads();
    const loaded = async () =>
      (await platform.fleet()).hosts.flatMap((host) =>
        host.instances.flatMap(({ containers }) =>
          containers.filter((one) => one.account === account && one.function === name && one.state === "idle"),
        ),
      );
    await until(
      async () => {
        const missing = 3 - (await loaded()).length;
        if (missing > 0) await platform.operator.bus.ask(preloadFunction, [], { account, name, count: missing });
        return missing <= 0;
      },
      `three containers of ${name}`,
      60_000,
    );
    const replies = await Promise.all(
      [1, 2, 3].map((at) => platform.call(`${account}/${name}`, { at }, { "Pilot-Deadline": "30000" }, 60_000)),
    );
    t.deepEqual(
      replies.map((reply) => reply.value ?? reply.message),
      [1, 2, 3].map((at) => `row ${at} of the table`),
    );
    t.is((await downloads()) - before, 1);
  }
});

test("F005 the command line and the wire send the same request: the same body comes back, and the same error", async (t) => {
  await platform.deploy(
    "mirror",
    "export const handler = (event) => { if (event.fail) throw new RangeError('on purpose'); return event; }",
  );
  const invoke = (...words: string[]) => runCli(["invoke", "mirror", "-s", platform.running.nats, ...words]);
  const wire = (body: string) => platform.anonymous.nc.request("pilot.fn.main.mirror", body, { timeout: 20_000 });
  for (const body of ['{"x":1,"text":"ü\\n"}', "[1,2]", "not json \u0000", ""]) {
    const [told, asked] = [await wire(body), await invoke("--data", body)];
    t.is(asked.code, 0, asked.stderr);
    t.deepEqual([...asked.bytes], [...told.data], JSON.stringify(body));
  }
  const [told, asked] = [await wire('{"fail":true}'), await invoke("--data", '{"fail":true}')];
  t.is(told.headers?.get("Pilot-Error"), "HandlerError");
  t.is(asked.code, 1);
  t.is(asked.stdout, "");
  t.true(asked.stderr.includes(told.headers?.get("Nats-Service-Error") ?? "nothing"), asked.stderr);
});

test("F003 what a function was registered with is shown and holds before its first request", async (t) => {
  const version = await platform.deploy("fixed", "export const handler = (_, context) => context.memoryLimitInMB", {
    settings: { memoryMb: 192, timeoutMs: 1_500 },
  });
  const shown = await runCli(["fn", "show", "fixed", "--context", platform.running.context, "--json"]);
  t.is(shown.code, 0, shown.stderr);
  const said = JSON.parse(shown.stdout) as { function: { settings: object }; versions: { version: number; runtime: string }[] };
  t.like(said.function.settings, { memoryMb: 192, timeoutMs: 1_500 });
  t.like(said.versions[0], { version, runtime: "node" });
  const first = await platform.call("fixed");
  t.is(first.value, 192);
  t.is(first.headers["Pilot-Memory"], "192");
});

test("an account exists from its first deploy", async (t) => {
  const accounts = async () => (await platform.operator.bus.ask(listAccounts, [], {})).accounts.map(({ name }) => name);
  t.false((await accounts()).includes("newcomer"));
  await platform.deploy("first", "export const handler = () => 1", { account: "newcomer" });
  t.true((await accounts()).includes("newcomer"));
  t.is((await platform.call("newcomer/first")).value, 1);
  t.is((await platform.call("nobody/first")).error, "FunctionNotFound");
});

test("an alias with weights divides calls among its versions, whoever asks, and the qualifier names a version", async (t) => {
  const [one, two] = [
    await platform.deploy("split", "export const handler = () => 1"),
    await platform.deploy("split", "export const handler = () => 2"),
  ];
  const shares = async (alias: string, weights: readonly (readonly [number, number])[]) =>
    platform.operator.bus.ask(setAlias, [], {
      account: "main",
      name: "split",
      alias,
      shares: weights.map(([version, weight]) => ({ version, weight })),
    });
  await shares("canary", [
    [one, 50],
    [two, 50],
  ]);
  const seen = async (target: string, count: number) => {
    const values: unknown[] = [];
    for (let nth = 0; nth < count; nth++) values.push((await platform.call(target)).value);
    return values;
  };
  t.deepEqual([...new Set(await seen("split:canary", 60))].sort(), [1, 2]);
  t.deepEqual(new Set(await seen("split", 8)), new Set([2]));
  t.deepEqual(new Set(await seen(`split:${one}`, 4)), new Set([1]));
  t.is((await platform.call("split:99")).error, "FunctionNotFound");
  t.is((await platform.call("split:nowhere")).error, "FunctionNotFound");
  // The live alias too, also after it was answered directly.
  await shares("live", [
    [one, 50],
    [two, 50],
  ]);
  t.deepEqual([...new Set(await seen("split", 60))].sort(), [1, 2]);
  await shares("live", [[one, 100]]);
  t.deepEqual(new Set(await seen("split", 20)), new Set([1]));
});

test("code that fails only where it runs fails at the first call with the function's own stack, mapped to its source", async (t) => {
  const typescript = await files(t, {
    "late.ts":
      "type Row = { id: string };\n\nfunction open(row?: Row): string {\n  return row!.id;\n}\nexport const id = open();\nexport const handler = () => id;\n",
  });
  await deployAs(join(typescript, "late.ts"), {}, { name: "late" });
  const python = await files(t, {
    "late.py": "def open_it(row):\n    return row['id']\n\nID = open_it({})\n\ndef handler(event, context):\n    return ID\n",
  });
  await deployAs(join(python, "late.py"), {}, { name: "pylate" });
  for (const [name, type, place] of [
    ["late", /TypeError/, /late\.ts:4/],
    ["pylate", /KeyError/, /late\.py", line 2|late\.py:2/],
  ] as const) {
    const reply = await platform.anonymous.nc.request(`pilot.fn.main.${name}`, "{}", { timeout: 30_000 });
    t.is(reply.headers?.get("Pilot-Error"), "HandlerError", name);
    const { message, stack } = reply.json<{ message: string; stack?: string }>();
    t.regex(message, type);
    t.regex(stack ?? "", place, name);
  }
});

test("each role is a micro service that answers $SRV.PING, INFO and STATS to the operator", async (t) => {
  const { nc } = platform.operator;
  const ask = async (verb: string) => {
    const answers: Record<string, unknown>[] = [];
    const inbox = `_INBOX.operator.micro.${verb}`;
    const subscription = nc.subscribe(inbox, { callback: (_, message) => void (message.data.length > 0 && answers.push(message.json())) });
    nc.publish(`$SRV.${verb}`, "", { reply: inbox });
    await until(() => new Set(answers.map((answer) => answer["name"])).size >= 3, `three roles to answer ${verb}`, 10_000);
    subscription.unsubscribe();
    return answers;
  };
  const ROLES = ["pilot-frontend", "pilot-host", "pilot-scheduler"];
  const pings = await ask("PING");
  t.deepEqual([...new Set(pings.map((ping) => ping["name"]))].sort(), ROLES);
  for (const ping of pings) t.regex(String(ping["version"]), /^\d+\.\d+\.\d+/);
  const infos = await ask("INFO");
  const subjects = (name: string) =>
    infos
      .filter((info) => info["name"] === name)
      .flatMap((info) => (info["endpoints"] as { subject: string }[]).map((endpoint) => endpoint.subject));
  t.true(subjects("pilot-scheduler").includes("_pilot.service.registry.deploy"));
  t.true(subjects("pilot-host").includes("_pilot.agent.host-1.describe"));
  t.true(subjects("pilot-frontend").includes("_pilot.node.frontend-1.sync"));
  await platform.fleet();
  const stats = await ask("STATS");
  const host = stats.find((one) => one["name"] === "pilot-host") as { endpoints: { subject: string; num_requests: number }[] };
  t.true((host.endpoints.find((endpoint) => endpoint.subject === "_pilot.agent.host-1.describe")?.num_requests ?? 0) > 0);
});
