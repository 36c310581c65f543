/**
 * The cluster of compose.yaml. Its words are checked against the command line, its files against the tree, and the same topology is
 * brought up as plain processes. With PILOT_DOCKER=1 and an engine that answers, it is brought up in containers too; PILOT_IMAGE then
 * names an image that is there, else it is built, from PILOT_BASE where that is given.
 */
import { execFile, spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import test, { type ExecutionContext } from "ava";
import { publish } from "../../cli/publish.ts";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import type { RunningNodes } from "../../nodes/run/node-run.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { showFleet } from "../../protocol/messages/fleet.ts";
import { NODE_ROLES, type NodeRole, SUBJECT } from "../../protocol/subjects.ts";
import { startCluster } from "../support/cluster.ts";
import { type ComposeService, readCompose } from "../support/compose-file.ts";
import { freePorts } from "../support/free-ports.ts";
import { projectRoot } from "../support/project-root.ts";
import { runCli } from "../support/run-cli.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const run = promisify(execFile);
const { services, volumes } = readCompose();
const CONTAINER = join(projectRoot(), "deploy", "container");
const BROKERS = ["nats-1", "nats-2", "nats-3"];
const GREET = "export const handler = (event) => ({ hello: event.name });";

const serviceOf = (name: string): ComposeService => {
  const service = services[name];
  if (service === undefined) throw new Error(`compose.yaml has no service ${name}`);
  return service;
};
const countOf = (name: string): number => serviceOf(name).scale ?? 1;
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Runs init.sh on directories of the test, with the real command. Returns them. */
async function initialise(t: ExecutionContext): Promise<{ readonly cluster: string; readonly given: string; again(): Promise<void> }> {
  const directory = await temporaryDirectory(t);
  const [cluster, given, bin] = [join(directory, "cluster"), join(directory, "for"), join(directory, "bin")];
  const places = (serviceOf("init").volumes ?? []).map((volume) => volume.split(":")[1] ?? "");
  for (const place of [...places, "/bin"]) await mkdir(join(directory, place), { recursive: true });
  const main = JSON.stringify(new URL("../../cli/main.js", import.meta.url).href);
  await writeFile(
    join(bin, "pilot"),
    `#!/bin/sh\nexec "${process.execPath}" -e 'import(${main}).then(async (m) => process.exit(await m.main(process.argv.slice(1))))' -- "$@"\n`,
  );
  await chmod(join(bin, "pilot"), 0o755);
  const text = await readFile(join(CONTAINER, "init.sh"), "utf8");
  const script = text.replace("cluster=/cluster\n", `cluster='${cluster}'\n`).replace("for=/for\n", `for='${given}'\n`);
  t.not(script, text);
  const again = async (): Promise<void> => {
    await run("sh", ["-c", script, "init", ...(serviceOf("init").command ?? [])], {
      env: { PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: directory, PILOT_ROOT: projectRoot() },
    });
  };
  await again();
  return { cluster, given, again };
}

test("containers have the time that their nodes are promised for a stop, hosts also what a drain may give them", (t) => {
  const graceOf = (name: string): number => {
    const [, count, unit] = /^(\d+)(s|m)$/.exec(serviceOf(name).stop_grace_period ?? "") ?? [];
    return Number(count) * (unit === "m" ? 60_000 : 1_000);
  };
  for (const role of NODE_ROLES) t.true(graceOf(role) > LIMITS.drain.value + LIMITS.drainLeast.value, role);
  t.true(graceOf("host") > LIMITS.timeoutMax.value + LIMITS.drainLeast.value);
});

test("compose.yaml has three brokers and the nodes of a cluster, and keeps to what both generations of compose read", async (t) => {
  const counts = Object.fromEntries(NODE_ROLES.map((role) => [role, countOf(role)]));
  t.deepEqual(counts, { scheduler: 2, frontend: 2, host: 3, gateway: 1 });
  t.deepEqual(
    Object.keys(services).filter((name) => name.startsWith("nats-")),
    BROKERS,
  );
  const text = await readFile(join(projectRoot(), "compose.yaml"), "utf8");
  const top = [...text.matchAll(/^([a-z][\w-]*):/gm)].map(([, key]) => key);
  t.deepEqual(
    top.filter((key) => !key?.startsWith("x-")),
    ["services", "volumes"],
  );
  for (const [name, service] of Object.entries(services)) {
    t.not(service.privileged, true, name);
    for (const port of service.ports ?? []) t.regex(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    for (const other of Object.keys(service.depends_on ?? {})) t.true(other in services, `${name} depends on ${other}`);
    for (const [volume = ""] of (service.volumes ?? []).map((one) => one.split(":")))
      t.true(volume === "." || volume in volumes, `${name} mounts ${volume}`);
    // Hosts make boxes; nobody else has any right.
    if (NODE_ROLES.some((role) => role === name && role !== "host"))
      t.deepEqual([service.cap_drop, service.cap_add], [["ALL"], undefined], name);
  }
});

test("every file that the image is made of is there, and reaches the builder", async (t) => {
  const text = await readFile(join(projectRoot(), serviceOf("init").build?.dockerfile ?? ""), "utf8");
  const ignored = (await readFile(join(projectRoot(), ".dockerignore"), "utf8")).split("\n").filter(Boolean);
  const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, names = ""]) => names.split(" "));
  t.true(copied.length > 5);
  for (const name of copied) {
    t.true(await exists(join(projectRoot(), name)), name);
    t.false(ignored.includes(name.split("/")[0] ?? ""), name);
  }
  const entries = Object.values(services).flatMap(({ entrypoint = [] }) => entrypoint);
  for (const entry of new Set(entries)) t.regex(text, new RegExp(`/usr/local/bin/${entry}\\b`), entry);
});

test("every command of compose.yaml is one that pilot takes", async (t) => {
  const directory = await temporaryDirectory(t);
  for (const role of NODE_ROLES) {
    const words = (serviceOf(role).command ?? []).map((word) => word.replace(/^\/(?=files|store)/, `${directory}/${role}-`));
    const { code, stderr } = await runCli(words);
    // All words were understood: what is missing is the file that only the cluster has.
    t.is(code, 2, stderr);
    t.regex(stderr, new RegExp(`there is no credential for a ${role}`));
  }
});

test("what a cluster in containers is started with is made once; each role gets its own credential and no other", async (t) => {
  const { cluster, given, again } = await initialise(t);
  for (const role of NODE_ROLES) {
    t.deepEqual(await readdir(join(given, role)), role === "gateway" ? ["gateway.json", "token"] : [`${role}.json`]);
    const context = JSON.parse(await readFile(join(given, role, `${role}.json`), "utf8")) as { url: string; user: string };
    t.is(context.user, role);
    t.is(context.url, "nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222");
    t.true((serviceOf(role).volumes ?? []).every((volume) => volume.startsWith(`${role}-files:`)));
  }
  const program = (await findBroker({ allowDownload: true })).path;
  for (const name of BROKERS) {
    const [, path = ""] = serviceOf(name).command ?? [];
    await t.notThrowsAsync(run(program, ["-t", "-c", join(given, "brokers", basename(path))]), name);
  }
  const token = await readFile(join(given, "gateway", "token"), "utf8");
  await again();
  t.is(await readFile(join(given, "gateway", "token"), "utf8"), token);
  for (const secret of ["token", "contexts/operator.json"]) t.is((await stat(join(cluster, "all", secret))).mode & 0o077, 0, secret);
});

/** A caller by the broker and one by the gateway. */
interface Paths {
  nats(): Promise<string>;
  http(): Promise<string>;
}

async function answers(t: ExecutionContext, { nats, http }: Paths, when: string): Promise<void> {
  for (const [path, call] of Object.entries({ nats, http }))
    t.is(await until(() => call().catch(() => undefined), `an answer by ${path} ${when}`, 30_000), '{"hello":"you"}');
}

async function post(port: number, token: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const signal = AbortSignal.timeout(10_000);
  const response = await fetch(`http://127.0.0.1:${port}/fn/main/greet`, { method: "POST", body: '{"name":"you"}', headers, signal });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  return response.text();
}

test("the nodes of compose.yaml, as plain processes, serve calls by broker and gateway, outlive one of each role, and stop in order", async (t) => {
  t.timeout(240_000);
  const cluster = await startCluster(t, { brokers: 3 });
  const [port = 0] = await freePorts(1);
  const httpTokenFile = join(cluster.directory, "token");
  await writeFile(httpTokenFile, "a-token-that-only-this-test-knows\n", { mode: 0o600 });
  const nodes: [NodeRole, RunningNodes][] = [];
  for (const role of ["scheduler", "frontend", "host", "gateway"] as const) {
    const started = Array.from({ length: countOf(role) }, (_, index) =>
      cluster.run([role], {
        name: `c${index + 1}`,
        data: join(cluster.directory, `${role} ${index + 1}`),
        warm: { node: 1, python: 0 },
        http: `0.0.0.0:${port}`,
        httpTokenFile,
      }),
    );
    nodes.push(...(await Promise.all(started)).map((one) => [role, one] as [NodeRole, RunningNodes]));
  }
  for (const [, { data }] of nodes) t.true(await exists(join(data, "ready")));

  const operator = await cluster.operator();
  const caller = await cluster.anonymous();
  await publish(operator, await bundleSource(GREET, "node"), { account: "main", name: "greet" });
  const paths: Paths = {
    async nats() {
      const { body } = await caller.caller.call(SUBJECT.fn("main", "greet"), new TextEncoder().encode('{"name":"you"}'), {
        timeoutMs: 10_000,
      });
      return new TextDecoder().decode(body);
    },
    http: () => post(port, "a-token-that-only-this-test-knows"),
  };
  await answers(t, paths, "at first");
  await t.throwsAsync(post(port, "another"), { message: /^401/ });

  for (const role of NODE_ROLES) {
    const [, victim] = nodes.find(([of]) => of === role) ?? [];
    const [id = ""] = victim?.nodes ?? [];
    const before = victim?.pidOf(id);
    if (before === undefined) throw new Error(`${id} does not run`);
    process.kill(before, "SIGKILL");
    await answers(t, paths, `after a ${role} died`);
    await until(() => ![undefined, before].includes(victim?.pidOf(id)), `another ${id}`, 30_000);
  }
  await cluster.kill(0);
  await answers(t, paths, "after a broker died");
  await cluster.restart(0);
  await cluster.settled();
  await until(
    async () => (await operator.bus.ask(showFleet, [], {})).hosts.length === countOf("host"),
    "all hosts to be heard again",
    30_000,
  );

  const logs = await Promise.all(
    nodes.reverse().map(async ([, one]) => {
      await one.stop();
      return readFile(join(one.data, "logs", `${one.nodes[0]}.log`), "utf8");
    }),
  );
  for (const log of logs) t.regex(log, /stopped in order/);
  for (const [, { data }] of nodes) t.false(await exists(join(data, "ready")));
});

/** The compose command of this machine: the plugin of docker, or the older program; none without PILOT_DOCKER=1 and an engine. */
function composeCommand(): readonly [string, ...string[]] | undefined {
  if (process.env["PILOT_DOCKER"] !== "1") return undefined;
  const works = (program: string, ...words: string[]): boolean => spawnSync(program, words, { stdio: "ignore" }).status === 0;
  if (!works("docker", "info")) return undefined;
  if (works("docker", "compose", "version")) return ["docker", "compose"];
  return works("docker-compose", "version") ? ["docker-compose"] : undefined;
}

// Tests are declared before anything is waited for.
const compose = composeCommand();
const inContainers = compose === undefined ? test.skip : test;

inContainers("the cluster comes up in containers, serves calls by broker and gateway, outlives a host, and stops in order", async (t) => {
  t.timeout(900_000);
  const [program, ...first] = compose ?? ["docker"];
  const [natsPort = 0, httpPort = 0] = await freePorts(2);
  const variables = { NATS_PORT: `${natsPort}`, HTTP_PORT: `${httpPort}`, COMPOSE_PROJECT_NAME: `pilot-test-${process.pid}` };
  const { PILOT_IMAGE: image, PILOT_BASE: base } = process.env;
  const env = { ...process.env, ...variables, ...(base !== undefined && { BASE: base }) };
  const options = { cwd: fileURLToPath(new URL(`file://${projectRoot()}/`)), env, maxBuffer: 16 << 20 };
  const call = async (...words: string[]): Promise<string> => (await run(program, [...first, ...words], options)).stdout;
  const pilot = (...words: string[]): Promise<string> => call("run", "--rm", "-T", "pilot", ...words);

  t.teardown(() => call("down", "--volumes", "--timeout", "20"));
  if (image === undefined) await call("build", "init");
  await call("up", "-d");
  const doctor = await until(async () => pilot("doctor"), "a doctor without complaints", 120_000);
  t.is(doctor.match(/isolation +bubblewrap, cgroups v[12], seccomp, own uid/g)?.length, countOf("host"), doctor);
  t.regex(doctor, /3 copies/);

  await pilot("deploy", "examples/01-hello", "--name", "greet");
  t.regex(await pilot("invoke", "greet", "--data", '{"name":"you"}'), /hello you/);
  const token = (await call("exec", "-T", "gateway", "cat", "/files/token")).trim();
  t.regex(await post(httpPort, token), /hello you/);

  const [host = ""] = (await call("ps", "-q", "host")).split("\n");
  await run("docker", ["kill", host], options);
  t.regex(await until(() => post(httpPort, token), "an answer after a host died", 30_000), /hello you/);
  await call("up", "-d");
  await call("stop");
  const codes = await Promise.all(
    (await call("ps", "-aq"))
      .split("\n")
      .filter(Boolean)
      .map(async (id) => (await run("docker", ["inspect", "-f", "{{.State.ExitCode}}", id], options)).stdout.trim()),
  );
  t.deepEqual([...new Set(codes)], ["0"]);
});
