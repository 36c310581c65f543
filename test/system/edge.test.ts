/** Law 9 on the whole platform: an attacker who has only NATS_URL, and a function that wants out of its account. */
import anyTest, { type TestFn } from "ava";
import { connect as dial, type NatsConnection } from "nats";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { setAccount } from "../../protocol/messages/registry.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { refused } from "../support/refused.ts";
import { until } from "../support/until.ts";
import { openWire, type Wire } from "../support/wire.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;

const ECHO = "export const handler = async (event) => event";
const bytes = (text: string) => new TextEncoder().encode(text);

test.before(async () => {
  platform = await startPlatform();
  await platform.deploy("echo", ECHO);
  await platform.deploy("echo", ECHO, { account: "neighbour" });
});
test.after.always(() => platform?.stop());

type Asserts = { is(a: unknown, b: unknown, message?: string): void; teardown(act: () => unknown): void };
const works = async (t: Asserts) => {
  const next = await platform.call("neighbour/echo", { still: "works" }, { "Pilot-Deadline": "30000" }, 60_000);
  t.is(next.error, undefined, next.message);
};
const attacker = async (t: Asserts): Promise<NatsConnection> => {
  const nc = await dial({ servers: platform.running.nats, reconnect: false });
  t.teardown(() => nc.close());
  return nc;
};
const byHand = async (t: Asserts, options?: Parameters<typeof openWire>[1]): Promise<Wire> => {
  const wire = await openWire(platform.running.nats, options);
  t.teardown(() => wire.close());
  return wire;
};

test("who has only the address hears no call, no node, no store and no other role", async (t) => {
  const nc = await attacker(t);
  const hears = (subject: string, queue?: string) =>
    refused(nc, () => void nc.subscribe(subject, { callback: () => undefined, ...(queue !== undefined && { queue }) }));
  for (const subject of [
    ">",
    "*.>",
    "*.*.>",
    "_pilot.>",
    "pilot.>",
    "pilot.fn.>",
    "pilot.fn.main.echo",
    "pilot.inline.>",
    "_pilot.inbox.>",
    "_pilot.inbox.host.>",
    "_pilot.back.>",
    "_pilot.logs.>",
    "_INBOX.operator.>",
    "$JS.>",
    "$JS.API.>",
    "$KV.>",
    "$O.>",
    "$SRV.>",
    "$SYS.>",
  ]) {
    t.true(await hears(subject), subject);
  }
  // As a member of the desk it would be given other people's calls to answer.
  t.true(await hears("pilot.fn.>", "desk"));
  t.true(await hears("pilot.fn.main.echo", "desk"));
  t.true(await hears("_pilot.desk", "frontends"));
  await works(t);
});

test("who has only the address changes nothing and asks no node", async (t) => {
  const nc = await attacker(t);
  const says = (subject: string) => refused(nc, () => nc.publish(subject, "{}", { reply: "_INBOX.attacker.1" }));
  for (const subject of [
    "_pilot.host.host-1",
    "_pilot.keeper.scheduler-1",
    "_pilot.agent.host-1.describe",
    "_pilot.node.frontend-1.sync",
    "_pilot.service.registry.remove-function",
    "_pilot.service.fleet.show",
    "_pilot.announce.host.host-1",
    "_pilot.report.frontend-1",
    "_pilot.back.frontend-1.1.1._INBOX.x",
    "_pilot.inbox.operator.test.x",
    "_pilot.calls.host-1",
    "_pilot.logs.main.echo",
    "pilot.pub.main.forged",
    "_INBOX.somebody.1",
    "_R_.somebody",
    "$JS.API.INFO",
    "$JS.API.STREAM.DELETE.KV_pilot_functions",
    "$JS.API.STREAM.PURGE.PILOT_LOGS",
    "$JS.API.CONSUMER.CREATE.KV_pilot_functions",
    "$KV.pilot_functions.main.echo",
    "$KV.pilot_data.main.x",
    "$O.pilot_code.C.x",
    "$O.pilot_bodies.C.main.x",
    "$SRV.PING",
    "$SRV.STATS.pilot-host",
    "$SYS.REQ.SERVER.PING",
  ]) {
    t.true(await says(subject), subject);
  }
  t.is((await platform.fleet()).hosts.length, 1);
  await works(t);
});

test("the users of roles are not to be had by guessing, and a wrong password is nobody", async (t) => {
  for (const user of ["operator", "scheduler-1", "frontend-1", "host-1", "system"]) {
    for (const pass of ["", user, "guess", "null"]) {
      await t.throwsAsync(
        dial({ servers: platform.running.nats, user, pass, reconnect: false }),
        { message: /Authorization/i },
        `${user} ${pass}`,
      );
    }
  }
  await t.throwsAsync(dial({ servers: platform.running.nats, token: "guess", reconnect: false }), { message: /Authorization/i });
});

test("bodies as large as the broker takes are refused with their size, many at once, and others are served meanwhile", async (t) => {
  const body = new Uint8Array(LIMITS.brokerPayload.value).fill(0x7b);
  const flood = Array.from({ length: 40 }, () =>
    platform.anonymous.caller.call("pilot.fn.main.echo", body, { timeoutMs: 60_000 }).then(
      () => "answered",
      (thrown: Error) => `${thrown.name}: ${thrown.message}`,
    ),
  );
  await works(t);
  for (const answer of await Promise.all(flood)) t.regex(answer, /^PayloadTooLarge/);
  const largest = new Uint8Array(BODY_LIMIT).fill(0x7b);
  // With 128 MB, a few of these before V8 collects them are more than the container has.
  await platform.deploy("roomy", "export const handler = async (event) => event", { settings: { memoryMb: 512 } });
  for (const ended of await Promise.all(
    Array.from({ length: 24 }, () => platform.call("roomy", largest, { "Pilot-Deadline": "30000" }, 60_000)),
  )) {
    if (ended.error === undefined) t.is(ended.body.length, BODY_LIMIT);
    // Unavailable: on a machine that is busy otherwise, a host that copies a hundred megabytes may stand still for a second, and says so.
    else t.true(ended.error === "Throttled" || ended.error === "Unavailable", `${ended.error}: ${ended.message}`);
  }
  const wire = await byHand(t);
  wire.send(`PUB pilot.fn.main.echo _INBOX.big.1 ${LIMITS.brokerPayload.value + 1}\r\n`);
  await wire.hears(/Maximum Payload/i);
  await works(t);
});

/** Sends bodies of the largest size, so many bytes in all, for a caller that reads no answer; `between` after each few. */
const flood = async (wire: Wire, size: number, between: () => Promise<void>) => {
  const body = new Uint8Array(BODY_LIMIT).fill(0x7a);
  wire.send("SUB _INBOX.slow.> 1\r\n");
  for (let nth = 0; nth * body.length < size && !wire.socket.destroyed; nth++) {
    wire.send(`PUB pilot.fn.main.flooded _INBOX.slow.${nth} ${body.length}\r\n`, body, "\r\n");
    if (nth % 8 === 0) await between();
  }
  const dropped = () => {
    // It notices when it writes.
    if (!wire.socket.destroyed) wire.send("PING\r\n");
    return wire.socket.destroyed;
  };
  await until(dropped, "the slow caller to be dropped", 60_000);
};

test("a caller that asks for much and reads nothing is dropped by the broker, and others are served meanwhile", async (t) => {
  // Not the function that others are served by: what its own queue holds is another matter.
  await platform.deploy("flooded", ECHO, { settings: { memoryMb: 512 } });
  // A body that is handed on lies in the broker twice.
  await flood(await byHand(t, { deaf: true }), LIMITS.brokerPending.value / 3, () => works(t));
  await works(t);
});

test("a flood beyond what the broker keeps for one connection may cost the calls in it, and the next ones are served", async (t) => {
  await platform.deploy("flooded", ECHO, { settings: { memoryMb: 512 } });
  await flood(await byHand(t, { deaf: true }), LIMITS.brokerPending.value * 3, () => Promise.resolve());
  const serves = async () => (await platform.call("neighbour/echo", { after: "it" }, {}, 5_000)).error === undefined;
  await until(serves, "the flood to have passed", 60_000);
  // Whatever was lost with a connection was lost by now.
  for (let nth = 0; nth < 20; nth++) await works(t);
});

test("ten thousand subscriptions of one connection are cut at the bound, and calls go on", async (t) => {
  const wire = await byHand(t);
  let text = "";
  for (let nth = 0; nth < 10_000; nth++) text += `SUB _INBOX.many.${nth} ${nth}\r\n`;
  wire.send(text);
  await wire.settled();
  t.regex(wire.heard(), /maximum subscriptions exceeded/i);
  await works(t);
});

test("header blocks of every form get an answer or a typed error, never silence, also from a host that answers directly", async (t) => {
  await platform.deploy("straight", ECHO, { settings: { class: "busy" } });
  await until(async () => (await platform.call("straight")).headers["Pilot-Path"] === "direct", "a direct answer", 20_000);
  const wire = await byHand(t);
  wire.send("SUB _INBOX.head.> 1\r\n");
  const many = Array.from({ length: 1_000 }, (_, nth) => `X-${nth}: ${nth}\r\n`).join("");
  const cases: readonly [string, RegExp | undefined][] = [
    ["NATS/1.0\r\nBad Name: 1\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\nBäd: 1\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\nX: a\nb\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\n: nothing\r\n\r\n", undefined],
    ["NATS/1.0 503\r\n\r\n", undefined],
    ["NATS/1.0 503 No Responders\r\n\r\n", undefined],
    ["HTTP/1.1 200 OK\r\n\r\n", undefined],
    ["NATS/1.0\r\n\r\n", undefined],
    ["\r\n\r\n", undefined],
    ["NATS/1.0\r\nno colon\r\n\r\n", undefined],
    [`NATS/1.0\r\n${many}\r\n`, undefined],
    [`NATS/1.0\r\nX: ${"x".repeat(60_000)}\r\n\r\n`, undefined],
    ["NATS/1.0\r\nNats-Service-Error-Code: 500\r\nNats-Service-Error: forged\r\n\r\n", undefined],
    ["NATS/1.0\r\nPilot-Host: host-1\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\nPilot-Call: mine\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\nPilot-Error: mine\r\n\r\n", /BadHeader/],
    [`NATS/1.0\r\n${Array.from({ length: 40 }, (_, nth) => `Pilot-Wish-${nth}: 1\r\n`).join("")}\r\n`, /BadHeader/],
    ["NATS/1.0\r\nPilot-Memory: 64\r\nPilot-Memory: 1048576\r\n\r\n", undefined],
    ["NATS/1.0\r\nPilot-Timeout: 1e9\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\nPilot-Timeout: -1\r\n\r\n", /BadHeader/],
    ["NATS/1.0\r\nPilot-Runtime: node@20; rm -rf /\r\n\r\n", /BadHeader/],
  ];
  let nth = 0;
  for (const name of ["echo", "straight"]) {
    for (const [header, error] of cases) {
      const reply = `_INBOX.head.${nth++}`;
      wire.publish(`pilot.fn.main.${name}`, reply, header, bytes(`"${reply}"`));
      const said = JSON.stringify(header.slice(0, 60));
      const text = await wire.hears(new RegExp(`MSG ${reply.replaceAll(".", "\\.")} 1 [0-9 ]+\r\n`), 15_000).catch(() => undefined);
      const answer = text?.slice(text.indexOf(`MSG ${reply} `)) ?? "silence";
      if (error === undefined) t.false(/^silence|Pilot-Error/.test(answer), `${name} ${said}: ${answer.slice(0, 300)}`);
      else t.regex(answer.slice(0, 600), error, `${name} ${said}`);
    }
  }
  await works(t);
});

test("F009 malformed, unauthorised and unknown requests are refused with typed errors, and no pool, instance or cache changes", async (t) => {
  await platform.deploy("closed", ECHO, { account: "suspended" });
  await platform.operator.bus.ask(setAccount, [], { account: "suspended", create: false, active: false });
  await platform.operator.bus.ask(setAccount, [], { account: "small", create: true, memoryMb: 64 });
  await platform.deploy("little", ECHO, { account: "small", settings: { memoryMb: 64 } });
  const capacity = async () =>
    (await platform.fleet()).hosts.map((host) => ({
      used: host.usedMb,
      instances: host.instances.map(({ id, account, containers }) => ({ id, account, containers: containers.length })),
      cache: host.cache.length,
      downloads: host.downloads,
    }));
  const settled = async () => {
    const [first, second] = [JSON.stringify(await capacity()), JSON.stringify(await capacity())];
    return first === second &&
      !(await platform.fleet()).hosts.some((host) => host.instances.some(({ state }) => state === "booting" || state === "draining"))
      ? second
      : undefined;
  };
  const before = await until(settled, "the pool to be still", 30_000);
  const refusals: readonly [string, string, Record<string, string>?][] = [
    ["main/nothing", "FunctionNotFound"],
    ["nobody/echo", "FunctionNotFound"],
    ["main/echo:77", "FunctionNotFound"],
    ["main/ECHO", "BadName"],
    ["main/echo", "BadHeader", { "Pilot-Memory": "much" }],
    ["main/echo", "BadHeader", { "Pilot-Wish": "gold" }],
    ["main/echo", "ConfigurationUnavailable", { "Pilot-Runtime": "node@4" }],
    ["suspended/closed", "NotAllowed"],
    ["small/little", "NotAllowed", { "Pilot-Memory": "128" }],
  ];
  for (const [target, error, headers] of refusals) {
    const reply = await platform.call(target, {}, headers);
    t.is(reply.error, error, `${target} ${JSON.stringify(headers)}: ${reply.message}`);
  }
  t.is((await platform.raw("pilot.inline.suspended", bytes('{"code":"export const handler = () => 1"}'))).error, "NotAllowed");
  t.is((await platform.raw("pilot.inline.main", bytes("{"))).error, "BadRequest");
  t.is(JSON.stringify(await capacity()), before);
  await works(t);
});

test("names with wildcards, and subjects that are no call, get a typed error", async (t) => {
  const wire = await byHand(t);
  wire.send("SUB _INBOX.names.> 1\r\n");
  const subjects = [
    "pilot.fn.main.*",
    "pilot.fn.*.echo",
    "pilot.fn.main.>",
    "pilot.fn.>",
    "pilot.fn.*.*",
    "pilot.fn.main.echo.*",
    "pilot.fn.main.echo.live.more",
    "pilot.fn.main.ECHO",
    "pilot.fn.main.-echo",
    "pilot.fn.main.0",
    "pilot.inline.*",
    "pilot.inline.a.b",
    `pilot.fn.main.${"x".repeat(3_000)}`,
  ];
  for (const [nth, subject] of subjects.entries()) {
    const reply = `_INBOX.names.${nth}`;
    wire.send(`PUB ${subject} ${reply} 2\r\n{}\r\n`);
    const text = await wire
      .hears(new RegExp(`MSG ${reply.replaceAll(".", "\\.")} 1 [0-9 ]+\r\n`), 15_000)
      .catch(() => `MSG ${reply} silence`);
    const answer = text.slice(text.indexOf(`MSG ${reply} `));
    t.regex(answer.slice(0, 400), subject === "pilot.fn.main.0" ? /FunctionNotFound/ : /BadName|BadRequest/, subject.slice(0, 60));
  }
  await works(t);
});

test("a flood of sources inside requests is compiled a few at a time: each is answered or refused, and others are served meanwhile", async (t) => {
  const count = LIMITS.inlineWaiting.value + LIMITS.inlineBundles.value + 40;
  const flood = Array.from({ length: count }, (_, nth) =>
    platform.raw(
      "pilot.inline.flooding",
      bytes(JSON.stringify({ runtime: "python", code: `def handler(event, context:\n    return ${nth}\n` })),
      {},
      85_000,
    ),
  );
  await works(t);
  const said = new Map<string, number>();
  for (const { error, message } of await Promise.all(flood)) {
    said.set(error ?? "none", (said.get(error ?? "none") ?? 0) + 1);
    t.true(error === "BadCode" || error === "Throttled", `${error}: ${message}`);
  }
  t.log(Object.fromEntries(said));
  t.true((said.get("Throttled") ?? 0) > 0 && (said.get("BadCode") ?? 0) >= LIMITS.inlineBundles.value);
  await works(t);
});

test("a call that names another caller's inbox makes nobody take a foreign answer for its own", async (t) => {
  const victim = await attacker(t);
  const nc = await attacker(t);
  await platform.deploy("later", "export const handler = ({ ms, tag }) => new Promise((resolve) => setTimeout(resolve, ms, tag))");
  const heard: string[] = [];
  const spy = nc.subscribe("_INBOX.>", { callback: (_, message) => heard.push(message.subject) });
  const first = await victim.request("pilot.fn.main.later", '{"ms":1,"tag":"first"}', { timeout: 20_000 });
  t.is(first.string(), '"first"');
  await until(() => heard.length > 0, "an inbox to be overheard");
  spy.unsubscribe();
  const inbox = (heard[0] ?? "").split(".").slice(0, -1).join(".");
  const pending = victim.request("pilot.fn.main.later", '{"ms":500,"tag":"own"}', { timeout: 20_000 });
  for (const token of ["x", "1", "*", ">", ""]) nc.publish("pilot.fn.main.echo", '"forged"', { reply: `${inbox}.${token}` });
  nc.publish("pilot.fn.main.echo", '"forged"', { reply: heard[0] ?? "" });
  await nc.flush().catch(() => undefined);
  t.is((await pending).string(), '"own"');
  t.is((await victim.request("pilot.fn.main.echo", '"next"', { timeout: 20_000 })).string(), '"next"');
});

test("a function cannot publish outside its account's own tree", async (t) => {
  const source = `
    export const handler = async ({ subjects }, context) => {
      const said = [];
      for (const subject of subjects) said.push(await context.publish(subject, "escape-marker").then(() => "sent", (error) => error.name));
      return said;
    };`;
  await platform.deploy("publisher", source, { account: "edge" });
  const heard: string[] = [];
  const all = platform.operator.nc.subscribe(">", {
    callback: (_, message) => {
      // The call itself and its records are not what is looked for.
      if (message.string() === '"escape-marker"') heard.push(message.subject);
    },
  });
  await platform.operator.nc.flush();
  const bad = [
    "",
    "*",
    ">",
    "a.*",
    "a.>",
    "a..b",
    ".a",
    "a.",
    "..",
    "a b",
    "a\tb",
    "a\r\nPUB _pilot.host.host-1 0\r\n",
    "a\u0000b",
    "ü",
    "../other.x",
    "x".repeat(10_240),
    "x.".repeat(5_000),
  ];
  const fine = [
    "a",
    "$SYS.REQ",
    "_pilot.host.host-1",
    "$JS.API.STREAM.DELETE.KV_pilot_functions",
    "pilot.pub.other.x",
    "-err",
    "x".repeat(LIMITS.publishSubject.value),
  ];
  const { value, error, message } = await platform.call("edge/publisher", { subjects: [...bad, ...fine] });
  t.is(error, undefined, message);
  const said = value as string[];
  t.deepEqual(
    said.slice(bad.length),
    fine.map(() => "sent"),
  );
  for (const [at, subject] of bad.entries()) t.is(said[at], "BadRequest", JSON.stringify(subject.slice(0, 40)));
  await until(() => heard.length >= fine.length, "what was sent");
  t.deepEqual(
    heard.filter((subject) => !subject.startsWith("pilot.pub.edge.")),
    [],
  );
  all.unsubscribe();
  await works(t);
});

test("a function can call only functions of its own account, whatever it writes", async (t) => {
  await platform.deploy("secret", "export const handler = () => 'secret of the bank'", { account: "bank" });
  await platform.deploy("friend", "export const handler = () => 'friend'", { account: "edge" });
  const source = `
    export const handler = async ({ targets }, context) => {
      const said = [];
      for (const target of targets) said.push(await context.call(target, {}).then((value) => "got " + value, (error) => error.name));
      return said;
    };`;
  await platform.deploy("reaching", source, { account: "edge" });
  const targets = [
    "secret",
    "bank.secret",
    "bank/secret",
    "bank:secret",
    "../bank/secret",
    "pilot.fn.bank.secret",
    "bank.secret.live",
    "*",
    ">",
    "",
    "friend.*",
    "friend.>",
    "friend..",
    "friend ",
    "Friend",
    "x".repeat(10_240),
    "friend\r\n",
    "_pilot.host.host-1",
    "friend",
  ];
  const { value, error, message } = await platform.call("edge/reaching", { targets });
  t.is(error, undefined, message);
  const said = value as string[];
  t.is(said.at(-1), "got friend");
  for (const [at, answer] of said.slice(0, -1).entries())
    t.regex(
      answer,
      /^(BadName|BadRequest|FunctionNotFound|NotFound|VersionNotFound|AliasNotFound)$/,
      JSON.stringify(targets[at]?.slice(0, 40)),
    );
  await works(t);
});

test("what a function keeps is its account's alone, under keys that cannot leave it, up to the size of a body", async (t) => {
  const source = `
    export const handler = async ({ puts, gets, size, fill }, context) => {
      const answer = (promise) => promise.then((value) => value ?? "nothing", (error) => error.name);
      const said = [];
      for (const key of puts ?? []) said.push(await answer(context.kv.put(key, "kept").then(() => "put")));
      for (const key of gets ?? []) said.push(await answer(context.kv.get(key)));
      if (size) said.push(await answer(context.kv.put("large", Buffer.alloc(size, 1)).then(() => "put")), await answer(context.kv.get("large").then((value) => value?.length)));
      return said;
    };`;
  await platform.deploy("keeping", source, { account: "edge" });
  await platform.deploy("keeping", source, { account: "bank" });
  const bad = ["", "*", ">", "a.*", "a.>", ".a", "a.", "a..b", "a b", "ü", "a\r\nb", "a\u0000", "x".repeat(257), "x".repeat(1 << 20)];
  const fine = ["a", "a.b.c", "a/b", "../bank/a", "-_=", "x".repeat(256)];
  const refusedKeys = (await platform.call("edge/keeping", { puts: bad })).value as string[];
  for (const [at, answer] of refusedKeys.entries()) t.is(answer, "BadRequest", JSON.stringify(bad[at]?.slice(0, 40)));
  const good = (await platform.call("edge/keeping", { puts: fine.filter((key) => !key.includes("..")), gets: ["a", "a.b.c", "a/b"] }))
    .value as string[];
  t.deepEqual([...new Set(good)].sort(), ["kept", "put"]);
  const other = (await platform.call("bank/keeping", { gets: ["a", "edge.a", "edge/a", "a.b.c", "a/b"] })).value as string[];
  t.deepEqual([...new Set(other)], ["nothing"]);
  t.deepEqual((await platform.call("edge/keeping", { size: 1 << 20 })).value, ["put", 1 << 20]);
  const over = (await platform.call("edge/keeping", { size: BODY_LIMIT + 1 })).value as (string | number)[];
  t.deepEqual(over, ["PayloadTooLarge", 1 << 20]);
  await works(t);
});
