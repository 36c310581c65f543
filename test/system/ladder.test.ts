/** The ladder of rungs on real processes: F010–F019, F022–F024, F059, F060, F062. */
import anyTest, { type TestFn } from "ava";
import { preloadFunction } from "../../protocol/messages/fleet.ts";
import { setPool } from "../../protocol/messages/registry.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
let platform: Platform;

test.before(async () => {
  platform = await startPlatform({ warm: { node: 3, python: 1 } });
});
test.after.always(() => platform?.stop());

const ECHO = "export const handler = async (event) => event";
const SLOW = "export const handler = ({ ms }) => new Promise((resolve) => setTimeout(() => resolve({ ms }), ms))";
const PYTHON = "def handler(event, context):\n    return event\n";

const instances = async (account: string) =>
  (await platform.fleet()).hosts.flatMap((host) => host.instances).filter((instance) => instance.account === account);
const warm = async (runtime = "node") =>
  (await platform.fleet()).hosts
    .flatMap((host) => host.instances)
    .filter((instance) => instance.state === "warm" && instance.runtime === runtime);
const enoughWarm = (count = 3) => until(async () => (await warm()).length >= count, `${count} warm instances`, 20_000);

test("F001 registered code runs by its name with the caller's arguments, and any NATS client gets its bare result", async (t) => {
  await platform.deploy("echo", ECHO, { account: "ladder" });
  const reply = await platform.anonymous.caller.call("pilot.fn.ladder.echo", new TextEncoder().encode('{"x":1}'), { timeoutMs: 10_000 });
  t.is(new TextDecoder().decode(reply.body), '{"x":1}');
  t.deepEqual(reply.headers, {});
});

test("F010 a traced reply says how the call was placed", async (t) => {
  const { headers } = await platform.call("ladder/echo", {});
  for (const name of [
    "Pilot-Call",
    "Pilot-Rung",
    "Pilot-Path",
    "Pilot-Host",
    "Pilot-Instance",
    "Pilot-Container",
    "Pilot-Version",
    "Pilot-Memory",
    "Pilot-Attempt",
    "Pilot-Times",
  ]) {
    t.truthy(headers[name], name);
  }
  const times = (headers["Pilot-Times"] ?? "").split(";").map(Number);
  t.is(times.length, 3);
  t.true(
    times[0] !== undefined && times[1] !== undefined && times[2] !== undefined && times[0] <= times[1] && times[1] <= times[2],
    headers["Pilot-Times"],
  );
});

test("F011 the second call runs in the same container, hot", async (t) => {
  const first = await platform.call("ladder/echo", {});
  const second = await platform.call("ladder/echo", {});
  t.is(second.headers["Pilot-Rung"], "hot");
  t.is(second.headers["Pilot-Container"], first.headers["Pilot-Container"]);
});

test("F014 the first call of an account takes a warm instance, which becomes active and is replaced in the pool", async (t) => {
  await enoughWarm();
  const before = new Set((await warm()).map((instance) => instance.id));
  await platform.deploy("echo", ECHO, { account: "fourteen" });
  const { headers } = await platform.call("fourteen/echo", {});
  t.is(headers["Pilot-Rung"], "warm");
  t.is(headers["Pilot-Cold-Cause"], "first");
  t.true(before.has(headers["Pilot-Instance"] ?? ""));
  const [active] = await instances("fourteen");
  t.is(active?.id, headers["Pilot-Instance"]);
  t.is(active?.state, "active");
  await enoughWarm();
});

test("F012 F022 parallel first calls become containers of one instance, and the code is downloaded once", async (t) => {
  await enoughWarm();
  await platform.deploy("slow", SLOW, { account: "burst" });
  const downloads = async () => (await platform.fleet()).hosts.reduce((sum, host) => sum + host.downloads, 0);
  const before = await downloads();
  const replies = await Promise.all(Array.from({ length: 5 }, () => platform.call("burst/slow", { ms: 2_500 })));
  t.deepEqual(
    replies.map((reply) => reply.error),
    [undefined, undefined, undefined, undefined, undefined],
  );
  t.is(new Set(replies.map((reply) => reply.headers["Pilot-Instance"])).size, 1);
  t.is(new Set(replies.map((reply) => reply.headers["Pilot-Container"])).size, 5);
  t.true((await downloads()) - before <= 1);
  const again = await Promise.all(Array.from({ length: 6 }, () => platform.call("burst/slow", { ms: 2_500 })));
  t.true(
    again.some((reply) => reply.headers["Pilot-Rung"] === "cached"),
    JSON.stringify(again.map((reply) => reply.headers["Pilot-Rung"])),
  );
});

test("F013 other code of the same account goes to the account's own instance with one download", async (t) => {
  const first = await platform.call("fourteen/echo", {});
  await platform.deploy("other", "export const handler = () => 'other'", { account: "fourteen" });
  const before = (await platform.fleet()).hosts.reduce((sum, host) => sum + host.downloads, 0);
  const { headers, value } = await platform.call("fourteen/other", {});
  t.is(value, "other");
  t.is(headers["Pilot-Rung"], "own");
  t.is(headers["Pilot-Instance"], first.headers["Pilot-Instance"]);
  t.is((await platform.fleet()).hosts.reduce((sum, host) => sum + host.downloads, 0) - before, 1);
});

test("F004 registering code uses no capacity", async (t) => {
  await enoughWarm();
  const before = await platform.fleet();
  for (let nth = 0; nth < 30; nth++) await platform.deploy(`idle-${nth}`, `export const handler = () => ${nth}`, { account: "registered" });
  const after = await platform.fleet();
  t.is(after.hosts[0]?.cache.length, before.hosts[0]?.cache.length);
  t.deepEqual(
    after.hosts[0]?.instances.map((instance) => instance.id),
    before.hosts[0]?.instances.map((instance) => instance.id),
  );
  t.is((await instances("registered")).length, 0);
});

test("F017 two accounts in parallel run on disjoint instances", async (t) => {
  await enoughWarm();
  await Promise.all(["left", "right"].map((account) => platform.deploy("slow", SLOW, { account })));
  const [left = [], right = []] = await Promise.all(
    ["left", "right"].map((account) => Promise.all(Array.from({ length: 4 }, () => platform.call(`${account}/slow`, { ms: 100 })))),
  );
  const of = (replies: typeof left) => new Set(replies.map((reply) => reply.headers["Pilot-Instance"]));
  t.true([...of(left), ...of(right)].every((id) => id !== undefined));
  for (const id of of(left)) t.false(of(right).has(id));
});

test("F019 Python and JavaScript run on instances of their own language", async (t) => {
  await platform.deploy("py", PYTHON, { account: "languages", runtime: "python" });
  await platform.deploy("js", ECHO, { account: "languages" });
  const [py, js] = await Promise.all([platform.call("languages/py", { n: 1 }), platform.call("languages/js", { n: 2 })]);
  t.deepEqual([py.value, js.value], [{ n: 1 }, { n: 2 }]);
  const all = await instances("languages");
  t.is(all.find((instance) => instance.id === py.headers["Pilot-Instance"])?.runtime, "python");
  t.is(all.find((instance) => instance.id === js.headers["Pilot-Instance"])?.runtime, "node");
});

test("F020 a demand on the runtime is met, or refused with what there is", async (t) => {
  const major = process.versions.node.split(".")[0];
  t.is((await platform.call("ladder/echo", { a: 1 }, { "Pilot-Runtime": `node@${major}` })).error, undefined);
  const refused = await platform.call("ladder/echo", {}, { "Pilot-Runtime": "node@4" });
  t.is(refused.error, "ConfigurationUnavailable");
  t.regex(refused.message, new RegExp(`node ${process.versions.node.replaceAll(".", "\\.")}`));
});

test("F008 F059 F060 F062 a request's memory amount holds for that run alone, and cpu is given in the same ratio", async (t) => {
  const large = await platform.call("ladder/echo", {}, { "Pilot-Memory": "256" });
  t.is(large.headers["Pilot-Memory"], "256");
  t.is(large.headers["Pilot-Cpu"], "0.25");
  const stored = await platform.call("ladder/echo", {});
  t.is(stored.headers["Pilot-Memory"], "128");
  t.is(stored.headers["Pilot-Cpu"], "0.125");
});

test("F016 a call for more than the instance has left goes to another instance", async (t) => {
  await enoughWarm();
  await platform.deploy("echo", ECHO, { account: "sixteen" });
  const small = await platform.call("sixteen/echo", {}, { "Pilot-Memory": "512" });
  const big = await platform.call("sixteen/echo", {}, { "Pilot-Memory": "1024" });
  t.is(big.error, undefined, big.message);
  t.is(big.headers["Pilot-Memory"], "1024");
  t.not(big.headers["Pilot-Instance"], small.headers["Pilot-Instance"]);
});

test("F021 F023 F029 warm instances follow a list of configurations and belong to nobody", async (t) => {
  await platform.operator.bus.ask(setPool, [], { runtime: "node", memoryMb: 1_024, warm: 4 });
  await enoughWarm(4);
  for (const instance of await warm()) {
    t.is(instance.account, null);
    t.is(instance.usedMb, 0);
    t.is(instance.memoryMb, 1_024);
  }
});

test("F015 with an empty pool the call boots an instance and succeeds", async (t) => {
  const { unconfirmed } = await platform.operator.bus.ask(setPool, [], { runtime: "node", memoryMb: 1_024, warm: 0 });
  t.deepEqual(unconfirmed, []);
  t.is((await warm()).length, 0);
  await platform.deploy("echo", ECHO, { account: "fifteen" });
  const { headers, error } = await platform.call("fifteen/echo", {});
  t.is(error, undefined);
  t.is(headers["Pilot-Rung"], "cold");
  await platform.operator.bus.ask(setPool, [], { runtime: "node", memoryMb: 1_024, warm: 3 });
  await enoughWarm();
});

test("F024 preloaded containers make the first call hot", async (t) => {
  await platform.deploy("ready", ECHO, { account: "preload" });
  t.deepEqual(await platform.operator.bus.ask(preloadFunction, [], { account: "preload", name: "ready", count: 2 }), { ready: 2 });
  const { headers } = await platform.call("preload/ready", {});
  t.is(headers["Pilot-Rung"], "hot");
  const [instance] = await instances("preload");
  t.is(instance?.containers.filter((container) => container.function === "ready").length, 2);
});

test("F025 the trace says why a call waited or got a new container", async (t) => {
  await enoughWarm();
  await platform.deploy("slow", SLOW, { account: "estimate" });
  await platform.call("estimate/slow", { ms: 2_500 });
  const [first, second] = await Promise.all([platform.call("estimate/slow", { ms: 2_500 }), platform.call("estimate/slow", { ms: 2_500 })]);
  t.not(first.headers["Pilot-Container"], second.headers["Pilot-Container"]);
  const created = [first, second].find((reply) => reply.headers["Pilot-Rung"] !== "hot");
  t.regex(created?.headers["Pilot-Reason"] ?? "", /instance/);
});

test("F018 F040 an idle container is destroyed, the account loses the instance, and nobody finds what was left in it", async (t) => {
  await enoughWarm();
  const leave = `import { writeFileSync, readdirSync } from "node:fs";
    export const handler = ({ leave }) => { if (leave) writeFileSync("/tmp/secret", "left"); return readdirSync("/tmp"); };`;
  await platform.deploy("files", leave, { account: "leaver", settings: { keepAliveMs: 300 } });
  await platform.deploy("files", leave, { account: "finder" });
  const left = await platform.call("leaver/files", { leave: true });
  t.true((left.value as string[]).includes("secret"));
  await until(async () => (await instances("leaver")).length === 0, "the instance to lose its owner", 20_000);
  const all = (await platform.fleet()).hosts.flatMap((host) => host.instances);
  t.false(all.some((instance) => instance.id === left.headers["Pilot-Instance"]));
  const found = await platform.call("finder/files", {});
  t.deepEqual(found.value, []);
  const again = await platform.call("leaver/files", {});
  t.deepEqual(again.value, []);
});
