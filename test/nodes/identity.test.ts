/** Two nodes with one id, on a real broker. */
import test, { type ExecutionContext } from "ava";
import { claimId } from "../../nodes/io/identity.ts";
import { type Connected, connect } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { whoIs } from "../../protocol/messages/node.ts";
import { NODE_ROLES, type NodeRole, SUBJECT } from "../../protocol/subjects.ts";
import { startTestBroker, type TestBroker } from "../support/nats-server.ts";
import { recordLog } from "../support/record-log.ts";
import { until } from "../support/until.ts";

async function join(t: ExecutionContext, broker: TestBroker, role: NodeRole | "operator", node: string): Promise<Connected> {
  const { user, pass, servers } = broker.credentials(role, node);
  const connected = await connect({ servers: [servers], user, password: pass }, { name: node, role, node });
  t.teardown(() => connected.nc.close());
  return connected;
}
async function claim(
  t: ExecutionContext,
  of: Connected,
  role: NodeRole,
  node: string,
  taken: (fault: Fault) => void = never,
): Promise<void> {
  const claimed = await claimId(of, { role, node }, recordLog(), taken);
  t.teardown(() => claimed.stop());
}
const never = (fault: Fault): void => {
  throw fault;
};

test("a second node of an id does not start, whatever its role, and hears where the first is", async (t) => {
  const broker = await startTestBroker(t);
  for (const role of NODE_ROLES) {
    const node = `${role}-1`;
    await claim(t, await join(t, broker, role, node), role, node);
    const error = await t.throwsAsync(claim(t, await join(t, broker, role, node), role, node), {
      instanceOf: Fault,
      name: "Conflict",
    });
    t.regex(error?.message ?? "", new RegExp(`${node} on .+, process ${process.pid}`));
    const other = await join(t, broker, role, `${role}-2`);
    await t.notThrowsAsync(claim(t, other, role, `${role}-2`));
  }
  const operator = await join(t, broker, "operator", "o");
  const who = await operator.bus.ask(whoIs, ["gateway-1"], {});
  t.is(who.role, "gateway");
  t.is(who.pid, process.pid);
  t.is(who.server, "pilotlight");
});

test("the place of a node that is gone is free at once, and that of a hung one after a moment", async (t) => {
  const broker = await startTestBroker(t);
  const first = await join(t, broker, "host", "host-1");
  await claim(t, first, "host", "host-1");
  await first.nc.close();
  await t.notThrowsAsync(claim(t, await join(t, broker, "host", "host-1"), "host", "host-1"));

  const hung = await join(t, broker, "host", "host-2");
  hung.bus.listen(SUBJECT.node("host-2", "who"), {}, () => undefined);
  await hung.nc.flush();
  await t.notThrowsAsync(claim(t, await join(t, broker, "host", "host-2"), "host", "host-2"));
});

test("of two that begin at once the younger ends, and not the other", async (t) => {
  const broker = await startTestBroker(t);
  const ends: string[] = [];
  const [a, b] = await Promise.all([join(t, broker, "host", "host-1"), join(t, broker, "host", "host-1")]);
  const begin = (of: Connected, name: string): Promise<unknown> =>
    claim(t, of, "host", "host-1", () => ends.push(name)).catch(() => ends.push(name));
  await Promise.all([begin(a, "a"), begin(b, "b")]);
  await until(() => ends.length > 0, "the end of one of them", 10_000);
  t.is(new Set(ends).size, 1);
});
