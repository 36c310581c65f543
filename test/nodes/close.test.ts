/** The end of a connection: in order where the broker is there, and at all where it is not. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { connect } from "../../nodes/io/nats.ts";
import { within } from "../../nodes/io/within.ts";
import { startTestBroker } from "../support/nats-server.ts";
import { until } from "../support/until.ts";

const LONG_MS = 20_000;

test("a connection whose broker is gone can be closed, and holds no process", async (t) => {
  const broker = await startTestBroker(t);
  const { url, credentials } = broker;
  const { user, pass } = credentials("scheduler");
  const node = { servers: [url], user, password: pass };
  const [idle, serving] = await Promise.all(
    ["idle", "serving"].map((name) => connect(node, { name, role: "scheduler", node: "scheduler-1", patient: true })),
  );
  if (idle === undefined || serving === undefined) return t.fail();
  serving.bus.listen("_pilot.report.scheduler-1", {}, () => undefined);
  await broker.stop();
  await until(() => !idle.bus.connected && !serving.bus.connected, "both to see that the broker is gone", LONG_MS);
  await within(Promise.all([idle.close(), serving.close()]), LONG_MS, "the connections did not close");
  t.true(idle.nc.isClosed() && serving.nc.isClosed());
});

test("a connection whose broker stands still can be closed", async (t) => {
  const broker = await startTestBroker(t);
  const { user, pass } = broker.credentials("scheduler");
  const one = await connect({ servers: [broker.url], user, password: pass }, { name: "one", role: "scheduler", node: "scheduler-1" });
  const pid = Number(await readFile(join(broker.store, "broker", "run", "server.pid"), "utf8"));
  process.kill(pid, "SIGSTOP");
  t.teardown(() => process.kill(pid, "SIGCONT"));
  await within(one.close(), LONG_MS, "the connection did not close");
  t.true(one.nc.isClosed());
});
