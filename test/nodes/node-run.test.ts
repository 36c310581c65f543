/** Nodes beside a store or with contexts, with pretend processes: ids, directories, refusals, and nothing left over. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import test, { type ExecutionContext } from "ava";
import { resolveConnection } from "../../nodes/io/context.ts";
import { startedAt } from "../../nodes/io/process-identity.ts";
import { type NodeRunOptions, runNodes } from "../../nodes/run/node-run.ts";
import { up } from "../../nodes/up.ts";
import { Fault } from "../../protocol/errors.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const entry = (): string => fileURLToPath(new URL("../support/pretend-node.js", import.meta.url));

async function roomOf(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const environment = { ...process.env, PILOT_STATE_HOME: join(directory, "state"), XDG_DATA_HOME: join(directory, "home") };
  const said: string[] = [];
  const contexts = join(directory, "contexts");
  await mkdir(contexts);
  for (const role of ["frontend", "scheduler", "host"])
    await writeFile(join(contexts, `${role}.json`), JSON.stringify({ url: "nats://127.0.0.1:9", user: role, password: "x" }));
  return {
    directory,
    environment,
    said,
    contexts,
    async run(options: Partial<NodeRunOptions> = {}) {
      const running = await runNodes({
        roles: ["host"],
        credentials: { contexts },
        data: join(directory, "data"),
        environment,
        entry,
        say: (sentence) => said.push(sentence),
        ...options,
      });
      t.teardown(() => running.stop());
      return running;
    },
  };
}

test("a node that loses the broker in the middle of its first start is started again, and nothing else ends", async (t) => {
  const room = await roomOf(t);
  const store = join(room.directory, "store");
  const home = await up({ store, port: 0, entry, environment: room.environment });
  t.teardown(() => home.stop());
  const interrupted = (): string => fileURLToPath(new URL("../support/interrupted-node.js", import.meta.url));
  const nodes = await room.run({ roles: ["scheduler"], credentials: { store }, entry: interrupted });
  t.truthy(nodes.pidOf(nodes.nodes[0] ?? ""));
  t.true(
    room.said.some((sentence) => /scheduler-.* ended .*started again/.test(sentence)),
    room.said.join("\n"),
  );
});

test("nodes beside a store use the credentials of their roles, have ids and a directory of their own, and the store stays open to them", async (t) => {
  const room = await roomOf(t);
  const store = join(room.directory, "store");
  const home = await up({ store, port: 0, entry, environment: room.environment });
  t.teardown(() => home.stop());
  const nodes = await room.run({ roles: ["host", "frontend"], hosts: 2, credentials: { store } });
  t.is(nodes.nats, home.nats);
  t.deepEqual(
    nodes.nodes.map((node) => node.replace(/-[^-]*-[0-9a-f]{6}(?=-\d$|$)/, "")),
    ["frontend", "host", "host-2"],
  );
  for (const role of ["scheduler", "frontend", "host", "gateway"]) {
    const settings = await resolveConnection({ context: join(store, "contexts", `role-${role}.json`) }, {});
    t.is(settings.user, role);
  }
  t.is(nodes.data, join(room.directory, "data"));
  const pids = nodes.nodes.map((node) => nodes.pidOf(node) ?? 0);
  t.false(pids.includes(0));
  await nodes.stop();
  t.deepEqual(await Promise.all(pids.map(startedAt)), [undefined, undefined, undefined]);
  t.truthy(home.pidOf("host-1"), "the form goes on");
});

test("one data directory belongs to one process at a time; another name has another directory and other ids", async (t) => {
  const room = await roomOf(t);
  const first = await room.run();
  await t.throwsAsync(room.run(), {
    instanceOf: Fault,
    name: "Conflict",
    message: /in use by process \d+; give another with --name or --data/,
  });
  const own = await runNodes({
    roles: ["host"],
    credentials: { contexts: room.contexts },
    environment: room.environment,
    entry,
    name: "two",
  });
  t.teardown(() => own.stop());
  t.deepEqual(own.nodes, ["host-two"]);
  t.is(own.data, join(room.directory, "home", "pilotlight", "nodes", "two"));
  t.notDeepEqual(first.nodes, own.nodes);
});

test("a temporary directory is removed in the end, and a named one is not", async (t) => {
  const room = await roomOf(t);
  const options = {
    roles: ["host" as const],
    credentials: { contexts: room.contexts },
    environment: room.environment,
    entry,
    temporary: true,
  };
  const running = await runNodes(options);
  t.true(existsSync(running.data));
  await running.stop();
  t.false(existsSync(running.data));
  await t.throwsAsync(runNodes({ ...options, data: "x" }), { instanceOf: Fault, name: "BadRequest" });
});

test("one credential is written down for all nodes, for their eyes only", async (t) => {
  const room = await roomOf(t);
  const settings = { servers: ["nats://127.0.0.1:9"], user: "all", password: "secret", origin: "a test" };
  const running = await room.run({ credentials: { settings }, roles: ["host", "scheduler"] });
  const written = JSON.parse(readFileSync(join(running.data, "contexts", "nodes.json"), "utf8")) as Record<string, string>;
  t.is(written["user"], "all");
  t.is(running.nats, "nats://127.0.0.1:9");
});

test("what cannot work is a plain refusal, and nothing is left", async (t) => {
  const room = await roomOf(t);
  const refused = { instanceOf: Fault, name: "BadRequest" };
  await t.throwsAsync(room.run({ roles: [] }), refused);
  await t.throwsAsync(room.run({ credentials: { store: join(room.directory, "nowhere") } }), {
    ...refused,
    message: /no credential for a host/,
  });
  await t.throwsAsync(room.run({ credentials: { contexts: room.directory } }), refused);
  await t.throwsAsync(room.run({ name: "a".repeat(80) }), refused);
  await t.throwsAsync(room.run({ name: "a.b" }), refused);
  await t.throwsAsync(room.run({ roles: ["gateway"] }), { ...refused, message: /gateway/ });
  t.false(existsSync(join(room.directory, "data", "lock")));
});

test("a node that was stopped on request is not started again, and the last one ends the process", async (t) => {
  const room = await roomOf(t);
  await mkdir(join(room.directory, "data", "run"), { recursive: true });
  await writeFile(join(room.directory, "data", "run", "host-a.does"), "over");
  const running = await room.run({ name: "a", hosts: 2 });
  await until(() => room.said.some((sentence) => /host-a was stopped on request/.test(sentence)), "word of the first one's end");
  t.is(running.pidOf("host-a"), undefined);
  t.truthy(running.pidOf("host-a-2"));
  await running.stop();

  const alone = await room.run({ name: "a" });
  await t.notThrowsAsync(alone.done);
});

test("a node whose id another has ends everything at once, also when it ran before", async (t) => {
  const room = await roomOf(t);
  await mkdir(join(room.directory, "data", "run"), { recursive: true });
  await writeFile(join(room.directory, "data", "run", "host-a.does"), "conflict");
  const running = await room.run({ name: "a" });
  const error = await t.throwsAsync(running.done, { instanceOf: Fault, name: "Conflict" });
  t.regex(error?.message ?? "", /another has this id/);
});
