/** What `pilot cluster init` writes is what real servers run with. */
import { spawn } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { brokerAddress, planCluster, writeCluster } from "../../../nodes/io/broker/cluster-files.ts";
import { findBroker } from "../../../nodes/io/broker/find.ts";
import { resolveConnection } from "../../../nodes/io/context.ts";
import { connect } from "../../../nodes/io/nats.ts";
import { Fault } from "../../../protocol/errors.ts";
import { freePorts } from "../../support/free-ports.ts";
import { temporaryDirectory } from "../../support/temp.ts";
import { until } from "../../support/until.ts";

test("a server is named by its host, with a port where that is not the usual one", (t) => {
  t.deepEqual(brokerAddress("nats-1"), { host: "nats-1", port: 4_222, clusterPort: 6_222 });
  t.deepEqual(brokerAddress("10.0.0.7:5000"), { host: "10.0.0.7", port: 5_000, clusterPort: 7_000 });
  for (const bad of ["", "nats://nats-1", "nats-1:", "nats-1:0", "nats-1:65000", "a b", "-x", 'a"b'])
    t.throws(() => brokerAddress(bad), { instanceOf: Fault, name: "BadRequest" }, bad);
});

test("servers of one plan have different names, one secret, and each other's addresses", (t) => {
  const plan = planCluster(["nats-1", "nats-2", "nats-3"].map(brokerAddress));
  t.deepEqual(
    plan.brokers.map(({ name }) => name),
    ["nats-1", "nats-2", "nats-3"],
  );
  t.is(plan.url, "nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222");
  t.is(new Set(plan.users.map(({ password }) => password)).size, plan.users.length);
  t.throws(() => planCluster(["nats-1", "nats-1"].map(brokerAddress)), { instanceOf: Fault, name: "BadRequest" });
});

test("three servers run with what was written, with certificates, and let in whom the contexts name", async (t) => {
  const directory = await temporaryDirectory(t);
  const ports = await freePorts(3);
  const brokers = ports.map((port) => ({ host: "127.0.0.1", port, clusterPort: 0 }));
  const others = await freePorts(3);
  const written = await writeCluster({
    directory: join(directory, "cluster"),
    brokers: brokers.map((broker, at) => ({ ...broker, clusterPort: others[at] ?? 0 })),
    storage: join(directory, "data"),
    tls: true,
  });
  for (const file of [...written.configs, ...Object.values(written.contexts)]) t.is((await stat(file)).mode & 0o777, 0o600, file);
  t.deepEqual(Object.keys(written.contexts).sort(), ["frontend", "gateway", "host", "operator", "scheduler"]);
  const { path } = await findBroker({ allowDownload: true });
  for (const config of written.configs) {
    const child = spawn(path, ["-c", config], { stdio: "ignore" });
    t.teardown(() => child.kill("SIGKILL"));
  }
  const settings = await resolveConnection({ context: written.contexts["operator"] ?? "" }, {});
  const operator = await connect(settings, { name: "test", role: "operator", node: "test", patient: true });
  t.teardown(() => operator.close());
  await until(async () => (await operator.nc.jetstreamManager({ timeout: 1_000 })).getAccountInfo(), "a JetStream of three", 30_000);
  t.is(operator.nc.info?.connect_urls?.length, 3);
  t.true(operator.nc.info?.tls_required);
});

test("a directory that has something in it is left alone, unless that is wanted", async (t) => {
  const directory = await temporaryDirectory(t);
  const order = { directory, brokers: [brokerAddress("nats-1")], storage: "/var/lib/nats" };
  const first = await writeCluster(order);
  const before = await readFile(first.configs[0] ?? "", "utf8");
  await t.throwsAsync(writeCluster(order), { instanceOf: Fault, name: "Conflict" });
  t.is(await readFile(first.configs[0] ?? "", "utf8"), before);
  await writeCluster({ ...order, force: true });
  t.not(await readFile(first.configs[0] ?? "", "utf8"), before);
  t.deepEqual((await readdir(directory)).sort(), ["README.md", "brokers", "contexts"]);
});
