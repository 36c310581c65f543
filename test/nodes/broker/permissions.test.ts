/** Law 9 on the broker's side: what each credential can do and cannot, tried on a real server. */
import test, { type ExecutionContext } from "ava";
import { type ConnectionOptions, connect, type NatsConnection } from "nats";
import { until } from "../../../nodes/io/until.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { startTestBroker, type TestBroker } from "../../support/nats-server.ts";
import { refused } from "../../support/refused.ts";

async function join(t: ExecutionContext, broker: TestBroker, options: ConnectionOptions): Promise<NatsConnection> {
  const nc = await connect({ servers: broker.url, ...options });
  t.teardown(() => nc.close());
  return nc;
}
const publishes = (nc: NatsConnection, subject: string): Promise<boolean> => refused(nc, () => nc.publish(subject, "x"));
const hears = (nc: NatsConnection, subject: string): Promise<boolean> =>
  refused(nc, () => nc.subscribe(subject, { callback: () => undefined }));

test("the anonymous user cannot reach anything of ours", async (t) => {
  const broker = await startTestBroker(t);
  const nc = await join(t, broker, {});
  for (const subject of [
    "_pilot.host.host-1",
    "_pilot.service.registry.deploy",
    "_INBOX.someone.x",
    "$JS.API.INFO",
    "$SYS.REQ.SERVER.PING",
    "pilot.pub.main.x",
  ]) {
    t.true(await publishes(nc, subject), `publish ${subject}`);
  }
  for (const subject of [
    ">",
    "_pilot.>",
    "pilot.>",
    "pilot.fn.>",
    "pilot.fn.main.hello",
    "$SYS.>",
    "_pilot.inbox.host.>",
    "_INBOX.operator.x",
    "*.>",
  ]) {
    t.true(await hears(nc, subject), `subscribe ${subject}`);
  }
  t.false(await publishes(nc, SUBJECT.fn("main", "hello")));
  t.false(await publishes(nc, SUBJECT.inline("main")));
  t.false(await hears(nc, "_INBOX.mine.>"));
  t.false(await hears(nc, "pilot.pub.main.>"));
});

test("who may hear all inboxes does not hear the operator's", async (t) => {
  const broker = await startTestBroker(t);
  const nobody = await join(t, broker, {});
  const operator = await join(t, broker, broker.credentials("operator"));
  const heard: string[] = [];
  nobody.subscribe("_INBOX.>", { callback: (_error, message) => heard.push(message.subject) });
  await nobody.flush();
  for (const subject of ["_INBOX.operator.a", "_pilot.inbox.host.a", "_INBOX.caller.a"]) {
    operator.publish(subject, "secret");
  }
  await operator.flush();
  await nobody.flush();
  t.deepEqual(heard, ["_INBOX.caller.a"]);
});

test("a role has its own rights and no other role's", async (t) => {
  const broker = await startTestBroker(t);
  const host = await join(t, broker, broker.credentials("host"));
  const frontend = await join(t, broker, broker.credentials("frontend"));
  const scheduler = await join(t, broker, broker.credentials("scheduler"));
  t.false(await hears(host, SUBJECT.host("host-1")));
  t.false(await publishes(frontend, SUBJECT.host("host-1")));
  t.false(await hears(scheduler, SUBJECT.keeper("scheduler-1")));
  t.true(await hears(frontend, SUBJECT.host("host-1")));
  t.true(await hears(host, SUBJECT.keeper("scheduler-1")));
  t.true(await publishes(host, "_pilot.agent.host-1.start"));
  t.true(await publishes(frontend, "_pilot.agent.host-1.start"));
  t.true(await hears(host, ">"));
  t.true(await hears(frontend, "_pilot.inbox.host.>"));
  t.true(await hears(scheduler, "pilot.fn.>"));
  t.true(await publishes(scheduler, "$SYS.REQ.SERVER.PING"));
});

test("large bodies and cancels: callers ask, frontends alone hear it; a gateway has an inbox of its own", async (t) => {
  const broker = await startTestBroker(t);
  const [nobody, gateway, frontend, host, scheduler] = await Promise.all([
    join(t, broker, {}),
    ...(["gateway", "frontend", "host", "scheduler"] as const).map((role) => join(t, broker, broker.credentials(role))),
  ]);
  if (!nobody || !gateway || !frontend || !host || !scheduler) return t.fail();
  const id = "0".repeat(32);
  for (const subject of [SUBJECT.bodyPart("main", "put", id, 0), SUBJECT.bodyPart("main", "drop", id, 1), SUBJECT.cancel("main")])
    for (const caller of [nobody, gateway]) t.false(await publishes(caller, subject), subject);
  for (const subject of [SUBJECT.bodyAll, SUBJECT.cancelAll]) {
    t.false(await hears(frontend, subject), subject);
    for (const other of [nobody, gateway, host, scheduler]) t.true(await hears(other, subject), subject);
  }
  const chunk = `$O.pilot_bodies.C.main.${id}.0`;
  for (const caller of [nobody, gateway]) t.true(await publishes(caller, chunk));
  for (const keeper of [frontend, host]) t.false(await publishes(keeper, chunk));
  t.true(await publishes(frontend, "$O.pilot_code.C.x"));
  t.true(await publishes(frontend, "$JS.API.STREAM.PURGE.OBJ_pilot_bodies"));
  t.false(await hears(gateway, "_INBOX.gateway.mine.>"));
  for (const subject of ["_INBOX.>", "_INBOX.someone.>", "pilot.pub.>", "_pilot.inbox.operator.>", "pilot.fn.>"])
    t.true(await hears(gateway, subject), `a gateway hears ${subject}`);
  for (const subject of ["_pilot.host.host-1", "_pilot.desk", "_pilot.service.registry.deploy", "_INBOX.someone.1", "$JS.API.INFO"])
    t.true(await publishes(gateway, subject), `a gateway publishes ${subject}`);
  return t.pass();
});

test("a wrong password is refused, and is not taken for anonymous", async (t) => {
  const broker = await startTestBroker(t);
  await t.throwsAsync(connect({ servers: broker.url, user: "operator", pass: "guess", reconnect: false }), {
    message: /Authorization/,
  });
});

test("a broker that was killed comes back on the same port with what it had stored", async (t) => {
  const broker = await startTestBroker(t);
  const nc = await join(t, broker, {
    ...broker.credentials("operator"),
    reconnectTimeWait: 20,
    maxReconnectAttempts: -1,
  });
  const kv = await nc.jetstream({ timeout: 500 }).views.kv("kept");
  await kv.put("a", "1");
  // A request that is under way while the connection is being made anew is lost without a word, so it is repeated.
  const value = (): Promise<string | undefined> => until(async () => (await kv.get("a").catch(() => undefined))?.string(), 20_000);
  await broker.crash();
  t.is(await value(), "1");
  await broker.restart();
  t.is(await value(), "1");
  t.is(new URL(broker.url).port, String(broker.port));
});
