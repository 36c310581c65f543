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
