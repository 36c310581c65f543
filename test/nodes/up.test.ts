/** The local form with pretend nodes: start, deaths, refusals, and nothing left over. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { connect } from "nats";
import { resolveConnection } from "../../nodes/io/context.ts";
import { startedAt } from "../../nodes/io/process-identity.ts";
import { listRunning } from "../../nodes/io/running.ts";
import { until } from "../../nodes/io/until.ts";
import { type Running, type UpOptions, up } from "../../nodes/up.ts";
import { Fault } from "../../protocol/errors.ts";
import { temporaryDirectory } from "../support/temp.ts";

const ENTRY = fileURLToPath(new URL("../support/pretend-node.js", import.meta.url));
const NAMES = ["broker", "scheduler-1", "frontend-1", "host-1"];

interface Room {
  readonly store: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly said: string[];
  does(node: string, what: string): Promise<void>;
  up(options?: UpOptions): Promise<Running>;
}

async function roomOf(t: ExecutionContext): Promise<Room> {
  const directory = await temporaryDirectory(t);
  const store = join(directory, "my store");
  const environment = { ...process.env, PILOT_STATE_HOME: join(directory, "state") };
  const said: string[] = [];
  return {
    store,
    environment,
    said,
    async does(node, what) {
      await mkdir(join(store, "run"), { recursive: true });
      await writeFile(join(store, "run", `${node}.does`), what);
    },
    async up(options = {}) {
      const running = await up({
        store,
        port: 0,
        environment,
        entry: () => ENTRY,
        say: (sentence) => said.push(sentence),
        ...options,
      });
      t.teardown(() => running.stop());
      return running;
    },
  };
}

const pidsOf = (running: Running): number[] => NAMES.map((name) => running.pidOf(name) ?? 0);
const gone = (pids: readonly number[]): Promise<true | undefined> =>
  until(async () => ((await Promise.all(pids.map(startedAt))).every((one) => one === undefined) ? true : undefined), 15_000);
const replaced = (running: Running, name: string, old: number | undefined): Promise<number | undefined> =>
  until(() => {
    const now = running.pidOf(name);
    return now === old ? undefined : now;
  }, 20_000);

test("up starts the parts, says where it is, and leaves no process after stop", async (t) => {
  const room = await roomOf(t);
  const running = await room.up();
  const pids = pidsOf(running);
  t.false(pids.includes(0));
  t.deepEqual(await listRunning(room.environment).then((all) => all.map(({ pid, nats }) => ({ pid, nats }))), [
    { pid: process.pid, nats: running.nats },
  ]);
  const settings = await resolveConnection({}, { HOME: room.store, PILOT_STATE_HOME: room.environment["PILOT_STATE_HOME"] });
  t.is(settings.user, "operator");
  const nc = await connect({
    servers: [...settings.servers],
    user: settings.user ?? "",
    pass: settings.password ?? "",
  });
  nc.publish("_pilot.anything");
  await nc.flush();
  await nc.close();
  await running.stop();
  t.true(await gone(pids));
  t.deepEqual(await listRunning(room.environment), []);
  t.false(existsSync(join(room.store, "lock")));
  t.deepEqual(await readdir(join(room.store, "broker", "run")), []);
});

test("credentials are kept over restarts and nobody else can read them", async (t) => {
  const room = await roomOf(t);
  const first = await room.up();
  const before = JSON.parse(readFileSync(first.context, "utf8")) as { url: string; password: string };
  t.is((await stat(first.context)).mode & 0o777, 0o600);
  t.is((await stat(join(room.store, "contexts"))).mode & 0o777, 0o700);
  t.is((await stat(join(room.store, "broker", "server.conf"))).mode & 0o777, 0o600);
  await first.stop();
  const second = await room.up();
  const after = JSON.parse(readFileSync(second.context, "utf8")) as { url: string; password: string };
  t.is(after.password, before.password);
  t.is(after.url, second.nats);
});

test("two forms on one store: the second is told who has it; a lock of a dead process is taken over", async (t) => {
  const room = await roomOf(t);
  const first = await room.up();
  const error = await t.throwsAsync(room.up(), { instanceOf: Fault, name: "Conflict" });
  t.regex(error?.message ?? "", new RegExp(`in use by process ${process.pid}`));
  await first.stop();
  await writeFile(join(room.store, "lock"), JSON.stringify({ pid: process.pid, startedAt: "another life of this pid" }));
  await (await room.up()).stop();
  await writeFile(join(room.store, "lock"), "half a fi");
  await t.notThrowsAsync(room.up());
});

test("a node that is killed is started again, and the broker on the same port", async (t) => {
  const room = await roomOf(t);
  const running = await room.up();
  for (const name of ["host-1", "broker"]) {
    const pid = running.pidOf(name);
    process.kill(pid ?? 0, "SIGKILL");
    t.truthy(await replaced(running, name, pid), name);
  }
  const nc = await connect({ servers: running.nats });
  await nc.close();
});

test("a node whose event loop stands still is killed and started again", async (t) => {
  const room = await roomOf(t);
  await room.does("host-1", "freeze");
  const running = await room.up();
  const pid = running.pidOf("host-1");
  await room.does("host-1", "");
  t.truthy(await replaced(running, "host-1", pid));
  t.true(room.said.some((sentence) => sentence.includes("silent")));
});

test("a node that ends again and again stops everything, with its last words", async (t) => {
  const room = await roomOf(t);
  await room.does("frontend-1", "crash");
  const error = await t.throwsAsync(room.up(), { instanceOf: Fault, name: "Unavailable" });
  t.regex(error?.message ?? "", /frontend-1 ended 6 times.*it crashed on purpose/s);
  t.false(existsSync(join(room.store, "lock")));
});

test("a node that cannot work at all is not tried again", async (t) => {
  const room = await roomOf(t);
  await room.does("scheduler-1", "fatal");
  const error = await t.throwsAsync(room.up(), { instanceOf: Fault, name: "Unavailable" });
  t.is(error?.message, "scheduler-1: this cannot work");
});

test("a port in use is said at once, and nothing is left", async (t) => {
  const room = await roomOf(t);
  const other = createServer().listen(0, "127.0.0.1");
  t.teardown(() => other.close());
  await once(other, "listening");
  const { port } = other.address() as { port: number };
  const error = await t.throwsAsync(room.up({ port }), { instanceOf: Fault, name: "BadRequest" });
  t.regex(
    error?.message ?? "",
    new RegExp(`port ${port} is in use by ${process.platform === "linux" ? `.+ \\(process ${process.pid}\\)` : "another"}`),
  );
  t.false(existsSync(join(room.store, "lock")));
});

test("a port that another form has is said with the process to stop", async (t) => {
  const first = await (await roomOf(t)).up();
  const room = await roomOf(t);
  const port = Number(new URL(first.nats).port);
  const error = await t.throwsAsync(room.up({ port }), { instanceOf: Fault, name: "BadRequest" });
  t.regex(error?.message ?? "", new RegExp(`in use by (the pilot up of process ${process.pid}|nats-server)`));
});

test("a store that cannot be made is a plain refusal", async (t) => {
  const room = await roomOf(t);
  await writeFile(room.store, "a file");
  await t.throwsAsync(room.up(), { instanceOf: Fault, name: "BadRequest", message: /cannot be made/ });
});

test("stopping in the middle of starting leaves nothing", async (t) => {
  const room = await roomOf(t);
  const stop = new AbortController();
  stop.abort();
  await t.throwsAsync(room.up({ signal: stop.signal }), { instanceOf: Fault, name: "Cancelled" });
  t.false(existsSync(join(room.store, "lock")));
  t.deepEqual(await readdir(join(room.store, "broker", "run")), []);
});

test("a stubborn node is killed when the budget is spent, and kill does not wait for it", async (t) => {
  const room = await roomOf(t);
  await room.does("host-1", "stubborn");
  const running = await room.up();
  const pids = pidsOf(running);
  const stopped = running.stop();
  running.kill();
  await stopped;
  t.true(await gone(pids));
});

test("a temporary form removes its store, and a named store is never removed", async (t) => {
  const room = await roomOf(t);
  await t.throwsAsync(room.up({ temporary: true }), { instanceOf: Fault, name: "BadRequest" });
  const running = await up({ temporary: true, port: 0, environment: room.environment, entry: () => ENTRY });
  t.teardown(() => running.stop());
  t.true(existsSync(running.store));
  await running.stop();
  t.false(existsSync(running.store));
});

test("kill -9 of up leaves no process behind, and the store can be used again", async (t) => {
  const room = await roomOf(t);
  const alone: ChildProcess = spawn(process.execPath, [fileURLToPath(new URL("../support/up-alone.js", import.meta.url)), room.store], {
    stdio: ["ignore", "pipe", "inherit"],
    env: room.environment,
  });
  t.teardown(() => alone.kill("SIGKILL"));
  if (alone.stdout === null) return t.fail();
  const [line] = (await once(createInterface(alone.stdout), "line")) as [string];
  const { pids } = JSON.parse(line) as { pids: number[] };
  t.is(pids.length, 4);
  alone.kill("SIGKILL");
  t.true(await gone(pids));
  t.deepEqual(await listRunning(room.environment), []);
  await t.notThrowsAsync(room.up());
});

test("a store of somebody else's credentials that is damaged is said and not overwritten", async (t) => {
  const room = await roomOf(t);
  await mkdir(room.store, { recursive: true });
  await writeFile(join(room.store, "secrets.json"), "{");
  await chmod(join(room.store, "secrets.json"), 0o600);
  await t.throwsAsync(room.up(), { instanceOf: Fault, name: "Conflict", message: /damaged/ });
  t.is(readFileSync(join(room.store, "secrets.json"), "utf8"), "{");
});
