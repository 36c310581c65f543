import test from "ava";
import fc from "fast-check";
import { isAlias, isName, isVersion } from "../../protocol/names.ts";
import { inboxOf, isAnswerable, parseBackSubject, parseCallSubject, permissionsOf, type Role, SUBJECT } from "../../protocol/subjects.ts";
import { subjectMatches } from "../support/memory-broker.ts";

const name = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/);

test("a call subject that was made from names is read back to them", (t) => {
  fc.assert(
    fc.property(name, name, fc.option(name, { nil: undefined }), (account, fn, qualifier) => {
      const target = parseCallSubject(SUBJECT.fn(account, fn, qualifier));
      const allowed = qualifier === undefined || isAlias(qualifier) || isVersion(qualifier);
      return target.ok === allowed && (!target.ok || (target.account === account && target.name === fn && target.qualifier === qualifier));
    }),
  );
  t.pass();
});

test("whatever a call subject names, it is refused or made of names", (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const target = parseCallSubject(`pilot.fn.${text}`);
      return !target.ok || (isName(target.account) && isName(target.name));
    }),
  );
  t.pass();
});

test("a back subject is read back to its parts, whatever inbox it wraps", (t) => {
  fc.assert(
    fc.property(
      name,
      fc.nat(),
      fc.nat(99),
      fc.stringMatching(/^_INBOX\.[A-Za-z0-9]{1,20}(\.[A-Za-z0-9]{1,8}){0,3}$/),
      (node, number, hop, reply) => {
        const back = parseBackSubject(SUBJECT.back(node, number, hop, reply));
        return back?.node === node && back.number === number && back.hop === hop && back.reply === reply;
      },
    ),
  );
  t.is(parseBackSubject("_pilot.back.only"), undefined);
  t.is(parseBackSubject("pilot.fn.main.echo"), undefined);
});

test("only inboxes of callers are answered: no internal subject, no wildcard, no empty token, nothing long", (t) => {
  t.true(isAnswerable("_INBOX.abc.1", 256));
  t.true(isAnswerable("_R_.xyz.1", 256));
  for (const reply of [
    "",
    "_INBOX",
    "_INBOX.",
    "_INBOX.*",
    "_INBOX.a.>",
    "_INBOX.a b",
    "_INBOX..a",
    "_INBOX.a.",
    "_pilot.node.x.sync",
    "$JS.API.INFO",
    "pilot.fn.main.echo",
    `_INBOX.${"x".repeat(300)}`,
  ]) {
    t.false(isAnswerable(reply, 256), reply);
  }
  for (const role of ["host", "scheduler", "frontend", "operator"] as const) t.false(isAnswerable(`${inboxOf(role, "n1")}.1`, 256));
});

const allows = (patterns: readonly string[], subject: string) => patterns.some((pattern) => subjectMatches(pattern, subject));

test("an anonymous caller can publish calls and nothing else, and hear no internal subject", (t) => {
  const { publish, subscribe } = permissionsOf("anonymous", "*");
  t.true(allows(publish, "pilot.fn.main.echo"));
  for (const subject of [
    "_pilot.host.h1",
    "_pilot.desk",
    "_pilot.keeper.s1",
    "_pilot.service.registry.deploy",
    "pilot.pub.main.x",
    "$JS.API.STREAM.LIST",
    "$KV.pilot_functions.x",
    "_INBOX.other.1",
    "$SRV.PING",
  ]) {
    t.false(allows(publish, subject), subject);
  }
  for (const subject of ["_pilot.host.h1", "pilot.fn.main.echo", "_pilot.inbox.scheduler.s1.1", "_pilot.logs.main.echo", "$SRV.PING"])
    t.false(allows(subscribe, subject), subject);
});

test("no node can hear another role's inbox, take another node's orders, or speak in its name", (t) => {
  const roles: Role[] = ["frontend", "scheduler", "host", "gateway"];
  for (const role of roles) {
    const { publish, subscribe } = permissionsOf(role, "n1");
    for (const other of roles) if (other !== role) t.false(allows(subscribe, `${inboxOf(other, "n2")}.x`), `${role} hears ${other}`);
    for (const subject of [
      "_pilot.host.n2",
      "_pilot.keeper.n2",
      "_pilot.back.n2.1.1.x",
      "_pilot.report.n2",
      "_pilot.node.n2.sync",
      "_pilot.agent.n2.grant",
    ])
      t.false(allows(subscribe, subject), `${role} hears ${subject}`);
    for (const other of roles) t.is(allows(publish, SUBJECT.announce(other, "n2")), false, `${role} announces as ${other}`);
    t.true(allows(publish, SUBJECT.announce(role, "n1")));
  }
});

test("a host can neither change the registry nor make or remove anything in JetStream", (t) => {
  const { publish } = permissionsOf("host", "n1");
  for (const subject of [
    "_pilot.service.registry.deploy",
    "$KV.pilot_functions.main.echo",
    "$KV.pilot_accounts.main",
    "$JS.API.STREAM.DELETE.KV_pilot_functions",
    "$JS.API.STREAM.PURGE.PILOT_CALLS",
    "$JS.API.STREAM.CREATE.x",
    "$O.pilot_code.C.x",
    "pilot.fn.main.echo",
  ]) {
    t.false(allows(publish, subject), subject);
  }
});

const ID = "0123456789abcdef0123456789abcdef";

test("parts of bodies and the end of a call: callers may ask, frontends answer, and nobody else hears them", (t) => {
  const asked = [...(["put", "get", "drop"] as const).map((verb) => SUBJECT.bodyPart("main", verb, ID, 0)), SUBJECT.cancel("main")];
  for (const subject of asked) {
    for (const role of ["anonymous", "gateway"] as const)
      t.true(allows(permissionsOf(role, "n1").publish, subject), `${role} asks ${subject}`);
    t.true(allows(permissionsOf("frontend", "n1").subscribe, subject), `a frontend hears ${subject}`);
    for (const role of ["anonymous", "gateway", "scheduler", "host"] as const)
      t.false(allows(permissionsOf(role, "n1").subscribe, subject), `${role} hears ${subject}`);
  }
});

test("who stores bodies for callers may do it in their bucket alone, and callers may not touch it", (t) => {
  const chunk = `$O.pilot_bodies.C.main.${ID}.0`;
  for (const role of ["frontend", "host"] as const) t.true(allows(permissionsOf(role, "n1").publish, chunk), role);
  for (const role of ["anonymous", "gateway"] as const) {
    const { publish } = permissionsOf(role, "n1");
    for (const subject of [
      chunk,
      "$JS.API.DIRECT.GET.OBJ_pilot_bodies",
      "$JS.API.STREAM.MSG.GET.OBJ_pilot_bodies",
      "$KV.pilot_data.main.x",
    ])
      t.false(allows(publish, subject), `${role} ${subject}`);
  }
  const frontend = permissionsOf("frontend", "n1").publish;
  for (const subject of [
    "$O.pilot_code.C.x",
    "$KV.pilot_functions.main.echo",
    "$KV.pilot_leases.x",
    "$JS.API.STREAM.PURGE.OBJ_pilot_bodies",
    "$JS.API.STREAM.DELETE.OBJ_pilot_bodies",
    "_pilot.agent.h1.grant",
    "_pilot.service.registry.deploy",
  ])
    t.false(allows(frontend, subject), subject);
});

test("a gateway is a caller with an inbox of its own: it hears no other's replies and changes nothing", (t) => {
  const { publish, subscribe } = permissionsOf("gateway", "n1");
  t.true(allows(publish, "pilot.fn.main.echo"));
  t.true(allows(publish, "pilot.inline.main"));
  t.true(allows(subscribe, "_INBOX.gateway.abc.claim.1"));
  for (const subject of [
    "_INBOX.other.1",
    "_INBOX.operator.1",
    "pilot.pub.main.x",
    "pilot.fn.main.echo",
    "_pilot.inbox.operator.x",
    "_pilot.logs.main.echo",
  ])
    t.false(allows(subscribe, subject), `hears ${subject}`);
  for (const subject of [
    "_pilot.host.h1",
    "_pilot.keeper.s1",
    "_pilot.desk",
    "_pilot.agent.h1.grant",
    "_pilot.back.f1.1.1.x",
    "_pilot.report.f1",
    "_pilot.inbox.frontend.x",
    "_pilot.inbox.host.x",
    "_pilot.service.registry.deploy",
    "_pilot.service.registry.remove",
    "_pilot.service.fleet.cancel",
    "_INBOX.other.1",
    "pilot.pub.main.x",
    "$JS.API.INFO",
    "$SYS.REQ.SERVER.PING",
  ])
    t.false(allows(publish, subject), `publishes ${subject}`);
});
