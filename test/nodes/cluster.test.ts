/** Several servers as one broker, and nodes on them. */
import test from "ava";
import { publish } from "../../cli/publish.ts";
import { bundleSource } from "../../nodes/io/bundle/index.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { runNodes } from "../../nodes/run/node-run.ts";
import { Fault } from "../../protocol/errors.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { startCluster } from "../support/cluster.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const ECHO = "export const handler = (event) => ({ hello: event.name });";

test("nodes on three servers keep everything three times, and calls go on when the server that they sit on dies", async (t) => {
  const cluster = await startCluster(t, { brokers: 3 });
  const nodes = await cluster.run(["host", "scheduler", "frontend"], { warm: { node: 1, python: 0 } });
  t.deepEqual(nodes.nodes, ["scheduler-n1", "frontend-n1", "host-n1"]);
  const operator = await cluster.operator([1, 2]);
  const caller = await cluster.anonymous([2]);
  await publish(operator, await bundleSource(ECHO, "node"), { account: "main", name: "hello" });
  const call = async (): Promise<string> => {
    const { body } = await caller.caller.call(SUBJECT.fn("main", "hello"), new TextEncoder().encode('{"name":"you"}'), {
      timeoutMs: 10_000,
    });
    return new TextDecoder().decode(body);
  };
  t.is(await call(), '{"hello":"you"}');
  const jsm = await operator.nc.jetstreamManager();
  for await (const { config } of jsm.streams.list()) t.is(config.num_replicas, 3, config.name);

  await cluster.kill(0);
  t.is(await until(() => call().catch(() => undefined), "an answer after the server died", 20_000), '{"hello":"you"}');
  await cluster.restart(0);
  await cluster.settled();
});

test("streams that were made while servers were missing get their copies when those are there", async (t) => {
  const cluster = await startCluster(t, { brokers: 3 });
  await cluster.stop(2);
  const operator = await cluster.operator([0, 1]);
  await until(async () => (await operator.nc.jetstreamManager({ timeout: 1_000 })).getAccountInfo(), "a JetStream of two", 20_000);
  await cluster.run(["scheduler"], { servers: [0, 1], replicas: 3 });
  await cluster.restart(2);
  const jsm = await operator.nc.jetstreamManager();
  await until(
    async () => {
      const streams = await jsm.streams.list().next();
      return streams.length > 0 && streams.every(({ config }) => config.num_replicas === 3);
    },
    "three copies of every stream",
    60_000,
  );
  t.pass();
});

test("one server, too, has a scheduler that makes the storage, and a host that began before it waits", async (t) => {
  const cluster = await startCluster(t, { brokers: 1 });
  const frontend = cluster.run(["frontend"], { name: "early" });
  await cluster.run(["scheduler"]);
  t.truthy((await frontend).pidOf("frontend-early"));
});

test("a node with the credential of another role says so and does not pretend to be there", async (t) => {
  const cluster = await startCluster(t, { brokers: 1 });
  await cluster.run(["scheduler"]);
  const settings = await resolveConnection({ context: await cluster.context("host") }, {});
  const directory = await temporaryDirectory(t);
  const wrong = runNodes({ roles: ["frontend"], credentials: { settings }, data: directory, name: "wrong" });
  await t.throwsAsync(wrong, { instanceOf: Fault, message: /not one for a frontend/ });
});
