/** What operators have: inspect, metrics, top, doctor and the debug bundle, against a platform of real processes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { unzipSync } from "fflate";
import type { TopView } from "../../cli/top/view.ts";
import type { NodeInspection } from "../../protocol/messages/inspect.ts";
import { listAccounts, listFunctions, removeFunction } from "../../protocol/messages/registry.ts";
import { DOCTOR_ACCOUNT } from "../../protocol/names.ts";
import { checkMetricsText } from "../support/metrics-syntax.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { PROMTOOL, promtoolOn } from "../support/promtool.ts";
import { type RunOptions, runCli } from "../support/run-cli.ts";
import { until } from "../support/until.ts";

const withPromtool = PROMTOOL === "" ? test.serial.skip : test.serial;
let platform: Platform;
const pilot = (words: readonly string[], options: RunOptions = {}) =>
  runCli([...words, "--context", platform.running.context], { env: { HOME: "/nonexistent" }, ...options });
const inspected = async (target: string): Promise<NodeInspection> => {
  const run = await pilot(["inspect", target, "--json"]);
  if (run.code !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout) as NodeInspection;
};

const ECHO = "exports.handler = async (event) => event;";

test.before(async () => {
  platform = await startPlatform({ hosts: 2, warm: { node: 1, python: 0 }, gateway: true, http: "127.0.0.1:0" });
  await platform.deploy("echo", ECHO, { environment: { DATABASE_PASSWORD: "correct-horse-battery" } });
  await platform.deploy("bad", "exports.handler = async () => { throw new Error('no'); };");
});
test.after.always(async () => {
  await platform.stop();
});

test.serial("the hosts of one process divide three quarters of the machine's memory", async (t) => {
  const { hosts } = await platform.fleet();
  const machine = Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem()) / 1024 ** 2;
  t.is(hosts.length, 2);
  for (const { memoryMb } of hosts) t.true(Math.abs(memoryMb - (machine * 0.75) / 2) < 2, `${memoryMb} of ${machine}`);
});

test.serial("inspect shows each role from inside: server, machines, transitions with reasons", async (t) => {
  for (const node of ["scheduler-1", "frontend-1", "host-1", "host-2"]) {
    const role = node.replace(/-\d+$/, "");
    const found = await inspected(node);
    t.is(found.role, role);
    t.regex(found.servers.control, /127\.0\.0\.1:\d+/);
    t.true(found.uptimeMs > 0 && found.process.memoryBytes > 0 && found.startedAt <= found.at);
    const own = found.actors.find(({ id }) => id === role);
    t.true((own?.transitions.length ?? 0) > 0, node);
    t.deepEqual(
      Object.values(found.held).filter((count) => count > 0),
      [],
      node,
    );
  }
});

test.serial("an instance's life is told with its reasons, also when it is over", async (t) => {
  const answered = await platform.call("echo", { a: 1 });
  t.is(answered.error, undefined);
  const host = answered.headers["Pilot-Host"] ?? "";
  const instance = answered.headers["Pilot-Instance"] ?? "";
  const found = await inspected(`${host}/instance/${instance}`);
  t.is(found.actors.length, 1);
  t.like(found.actors[0], { machine: "instance", state: "active", gone: false });
  // On a busy machine there may have been none that was warm.
  t.regex(found.actors[0]?.transitions.at(-1)?.reason ?? "", /^(to|for) account main, class \w+$/);
  const run = await pilot(["inspect", `${host}/${instance}`]);
  t.regex(run.stdout, /(warm +active +allocated +to|booting +active +booted +for) account main/);
  await platform.operator.bus.ask(removeFunction, [], {
    account: "main",
    name: "echo",
  });
  const gone = await until(async () => {
    const [view] = (await inspected(`${host}/instance/${instance}`)).actors;
    return view?.gone === true ? view : undefined;
  }, "the end of the instance");
  t.is(gone.state, "gone");
  t.regex(gone.transitions.find(({ to }) => to === "draining")?.reason ?? "", /its last container ended/);
  await platform.deploy("echo", ECHO, { environment: { DATABASE_PASSWORD: "correct-horse-battery" } });
});

test.serial("a node or machine that is not there is not found, and what is there is listed", async (t) => {
  const node = await pilot(["inspect", "host-9"]);
  t.is(node.code, 1);
  t.regex(node.stderr, /NotFound[\s\S]*frontend-1, gateway-1, host-1, host-2, scheduler-1/);
  const machine = await pilot(["inspect", "host-1/instance/none"]);
  t.regex(machine.stderr, /NotFound.*host-1 has no instance\/none: host/);
  t.is((await pilot(["inspect", "a b"])).code, 2);
});

test.serial("metrics of all nodes count calls by rung and outcome", async (t) => {
  for (let nth = 0; nth < 5; nth++) await platform.call("echo", { nth });
  t.is((await platform.call("bad")).error, "HandlerError");
  const run = await pilot(["metrics"]);
  t.is(run.code, 0, run.stderr);
  t.deepEqual(checkMetricsText(run.stdout), []);
  const sum = (pattern: RegExp): number => [...run.stdout.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0);
  t.true(sum(/^pilot_calls_total\{account="main",function="echo",rung="\w+",outcome="ok",.*\} (\d+)$/gm) >= 5);
  t.is(sum(/^pilot_calls_total\{account="main",function="bad",rung="\w+",outcome="HandlerError",.*\} (\d+)$/gm), 1);
  t.is(sum(/^pilot_call_run_seconds_count\{account="main",function="bad",.*\} (\d+)$/gm), 1);
  for (const node of ["host-1", "host-2", "frontend-1", "scheduler-1"])
    t.regex(run.stdout, new RegExp(`^pilot_node_info\\{.*node="${node}"`, "m"));
  t.regex(run.stdout, /^pilot_nodes_unheard 0$/m);
});

withPromtool("promtool finds nothing wrong with the metrics of a live cluster", async (t) => {
  await platform.call("echo");
  t.is((await platform.call("bad")).error, "HandlerError");
  t.is(promtoolOn((await pilot(["metrics"])).stdout), "");
});

test.serial("a gateway answers /metrics with the same, for Prometheus", async (t) => {
  const { address } = await inspected("gateway-1");
  const answered = await fetch(`${address ?? ""}/metrics`);
  t.is(answered.status, 200);
  t.regex(answered.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await answered.text();
  t.deepEqual(checkMetricsText(text), []);
  t.regex(text, /^pilot_node_info\{.*node="gateway-1",role="gateway"\} 1$/m);
});

test.serial("top shows rates of one interval as text and as JSON", async (t) => {
  const calling = { on: true };
  const load = (async () => {
    while (calling.on) await platform.call("echo");
  })();
  const run = await pilot(["top", "--json", "--interval", "1s"]);
  const text = await pilot(["top", "--interval", "500ms"]);
  calling.on = false;
  await load;
  t.is(run.code, 0, run.stderr);
  const view = JSON.parse(run.stdout) as TopView;
  const echo = view.functions.find((row) => row.function === "echo");
  t.true((echo?.callsPerS ?? 0) > 0);
  t.true((echo?.p50Ms ?? 0) > 0 && (echo?.p99Ms ?? 0) >= (echo?.p50Ms ?? 0));
  t.is(view.hosts.length, 2);
  t.true(view.hosts.every((host) => host.state === "ready" && (host.cpu ?? 0) > 0));
  t.deepEqual(view.silent, []);
  t.regex(text.stdout, /^FUNCTION +CALLS\/S/m);
  t.regex(text.stdout, /^main\/echo +[\d.]+/m);
  t.false(text.stdout.includes("\u001b"));
});

test.serial("doctor proves every host, frontend and keeper, and leaves nothing behind", async (t) => {
  const run = await pilot(["doctor", "--json"]);
  const { findings } = JSON.parse(run.stdout) as { findings: { check: string; verdict: string; detail: string }[] };
  t.is(run.code, 0, run.stdout);
  for (const check of [
    "scheduler-1 keeps",
    "frontend-1 passes on",
    "gateway-1 passes on",
    "host-1 runs node",
    "host-2 runs node",
    "storage",
    "clocks",
    "versions",
  ])
    t.is(findings.find((row) => row.check === check)?.verdict, "ok", check);
  for (const path of ["keeper", "frontend", "large body", "cancel", "inline"])
    t.is(findings.find((row) => row.check === `canary node ${path}`)?.verdict, "ok", path);
  await nothingIsLeft(t);
});

async function nothingIsLeft(t: ExecutionContext): Promise<void> {
  const { bus } = platform.operator;
  t.deepEqual((await bus.ask(listFunctions, [], { account: DOCTOR_ACCOUNT })).functions, []);
  t.false((await bus.ask(listAccounts, [], {})).accounts.some(({ name }) => name === DOCTOR_ACCOUNT));
  await until(
    async () => {
      const { hosts } = await platform.fleet();
      return hosts.every((host) => host.instances.every(({ account }) => account !== DOCTOR_ACCOUNT));
    },
    "the end of the canaries' instances",
    15_000,
  );
}

test.serial("doctor that is interrupted removes its canaries", async (t) => {
  const stop = new AbortController();
  const running = pilot(["doctor"], { signal: stop.signal });
  const { bus } = platform.operator;
  await until(async () => (await bus.ask(listFunctions, [], { account: DOCTOR_ACCOUNT })).functions.length > 0, "a canary");
  stop.abort();
  t.is((await running).code, 130);
  await nothingIsLeft(t);
});

test.serial("a debug bundle has every node, and no password, token or value of an environment variable", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "pilot-bundle-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const out = join(directory, "debug.zip");
  const run = await pilot(["debug", "bundle", "--out", out, "--store", platform.running.store, "--offline", "--json"]);
  t.is(run.code, 0, run.stderr);
  const files = unzipSync(readFileSync(out));
  for (const name of ["manifest.json", "doctor.json", "fleet.json", "registry.json", "broker.json", "limits.json", "metrics.txt"])
    t.true(Object.hasOwn(files, name), name);
  for (const node of ["scheduler-1", "frontend-1", "host-1", "host-2"]) t.true(Object.hasOwn(files, `nodes/${node}.json`), node);
  t.true(Object.hasOwn(files, "logs/host-1.log"));
  const all = Object.values(files).map((bytes) => Buffer.from(bytes).toString("latin1"));
  const passwords = Object.values(JSON.parse(readFileSync(join(platform.running.store, "secrets.json"), "utf8")) as Record<string, string>);
  t.true(passwords.length > 3);
  for (const secret of [...passwords, "correct-horse-battery"])
    for (const form of [secret, Buffer.from(secret).toString("base64")]) t.false(all.some((text) => text.includes(form)));
  t.true(all.some((text) => text.includes("DATABASE_PASSWORD")));
  const again = await pilot(["debug", "bundle", "--out", out, "--offline"]);
  t.is(again.code, 1);
  t.regex(again.stderr, /is there already/);
});
