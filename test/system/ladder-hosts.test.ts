/**
 * The ladder on three hosts that are small enough to be full: F009 and F011–F025 where there is more than one host to choose from. Each host may give
 * 1,536 MB: one instance of the default size in full use leaves no room for a second one there.
 */
import anyTest, { type TestFn } from "ava";
import { preloadFunction, showCall } from "../../protocol/messages/fleet.ts";
import { removeFunction, setPool } from "../../protocol/messages/registry.ts";
import { type Ended, type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const HOSTS = ["host-1", "host-2", "host-3"];
const MEMORY_MB = 1_536;
let platform: Platform;

test.before(async () => {
  platform = await startPlatform({ hosts: HOSTS.length, memoryMb: MEMORY_MB, warm: { node: 1, python: 1 } });
});
test.after.always(() => platform?.stop());

const ECHO = "export const handler = async (event) => event";
const SLOW = "export const handler = ({ ms }) => new Promise((resolve) => setTimeout(() => resolve({ ms }), ms))";
const PYTHON = "def handler(event, context):\n    return event\n";

const hosts = async () => (await platform.fleet()).hosts;
const warmOf = (host: Awaited<ReturnType<typeof hosts>>[number], runtime = "node") =>
  host.instances.filter((instance) => instance.state === "warm" && instance.runtime === runtime);
const ownedBy = async (account: string) =>
  (await hosts()).flatMap((host) =>
    host.instances.filter((instance) => instance.account === account).map(({ id }) => ({ id, host: host.id })),
  );
/** Nothing belongs to anybody, and each host has its warm instances. */
const atRest = () =>
  until(
    async () => {
      const all = await hosts();
      return all.length === HOSTS.length && all.every((host) => warmOf(host).length === 1 && warmOf(host, "python").length === 1);
    },
    "a warm instance of each runtime on every host",
    60_000,
  );
const wellEnded = (t: { deepEqual(a: unknown, b: unknown): void }, replies: readonly Ended[]) =>
  t.deepEqual(
    replies.filter(({ error }) => error !== undefined).map(({ error, message }) => `${error}: ${message}`),
    [],
  );
const placesOf = (replies: readonly Ended[], header: string) => new Set(replies.map(({ headers }) => headers[header] ?? ""));
/** Containers of half an instance, that last as long as a test. */
const HALF = { memoryMb: 512, keepAliveMs: 60_000, class: "rare" as const };
/** So that the next test finds room. */
const release = async (account: string, ...names: readonly string[]) => {
  for (const name of names) await platform.operator.bus.ask(removeFunction, [], { account, name });
  await until(async () => (await ownedBy(account)).length === 0, `the end of what ${account} has`, 60_000);
};

test("F021 F023 every host keeps the warm instances of the list, and they belong to nobody", async (t) => {
  await atRest();
  for (const host of await hosts()) {
    t.is(host.memoryMb, MEMORY_MB);
    t.deepEqual([...new Set(host.instances.map(({ account }) => account))], [null]);
  }
});

test("F009 what is refused takes capacity on no host", async (t) => {
  const before = (await hosts()).map(({ id, usedMb, instances }) => ({ id, usedMb, instances: instances.map((one) => one.id) }));
  await platform.deploy("echo", ECHO, { account: "refused" });
  t.is((await platform.call("refused/absent")).error, "FunctionNotFound");
  t.is((await platform.call("refused/echo", {}, { "Pilot-Memory": "lots" })).error, "BadHeader");
  t.is((await platform.call("refused/echo", {}, { "Pilot-Runtime": "node@4" })).error, "ConfigurationUnavailable");
  const large = await platform.call("refused/echo", {}, { "Pilot-Memory": String(MEMORY_MB + 1) });
  t.is(large.error, "ConfigurationUnavailable");
  t.regex(large.message, new RegExp(`the largest has ${MEMORY_MB}`));
  t.deepEqual(
    (await hosts()).map(({ id, usedMb, instances }) => ({ id, usedMb, instances: instances.map((one) => one.id) })),
    before,
  );
});

test("F011 F012 F013 F022 an account's calls stay on the host that has its instance while that has room: hot, cached and own", async (t) => {
  await platform.deploy("slow", SLOW, { account: "stays", settings: { ...HALF, memoryMb: 128 } });
  await platform.deploy("other", ECHO, { account: "stays", settings: { ...HALF, memoryMb: 128 } });
  const first = await platform.call("stays/slow", { ms: 0 });
  t.is(first.headers["Pilot-Rung"], "warm");
  const again = await platform.call("stays/slow", { ms: 0 });
  t.deepEqual([again.headers["Pilot-Rung"], again.headers["Pilot-Container"]], ["hot", first.headers["Pilot-Container"]]);
  const both = await Promise.all([1, 2].map(() => platform.call("stays/slow", { ms: 4_000 })));
  wellEnded(t, both);
  t.is(placesOf(both, "Pilot-Container").size, 2);
  t.true(placesOf(both, "Pilot-Rung").has("cached"));
  const other = await platform.call("stays/other", {});
  t.is(other.headers["Pilot-Rung"], "own");
  for (const reply of [again, ...both, other]) t.is(reply.headers["Pilot-Instance"], first.headers["Pilot-Instance"]);
  t.deepEqual(await ownedBy("stays"), [{ id: first.headers["Pilot-Instance"] ?? "", host: first.headers["Pilot-Host"] ?? "" }]);
  await release("stays", "slow", "other");
});

test("F014 F016 F025 a burst that is more than its instance holds takes warm instances on other hosts, one after the other, and no more than it needs", async (t) => {
  await atRest();
  await platform.deploy("slow", SLOW, { account: "burst", settings: HALF });
  // Two containers fill an instance.
  const replies = await Promise.all(
    Array.from({ length: 4 }, () => platform.call("burst/slow", { ms: 4_000 }, { "Pilot-Deadline": "20000" }, 40_000)),
  );
  wellEnded(t, replies);
  t.is(placesOf(replies, "Pilot-Container").size, 4);
  t.is(placesOf(replies, "Pilot-Host").size, 2);
  t.is((await ownedBy("burst")).length, 2);
  t.is(replies.filter(({ headers }) => headers["Pilot-Rung"] === "warm").length, 2);
  t.regex(replies.map(({ headers }) => headers["Pilot-Reason"]).join("\n"), /no instance of the account has room/);
  await release("burst", "slow");
});

test("F017 F018 accounts side by side share no instance on any host, and what one leaves nobody finds", async (t) => {
  await atRest();
  const leave = `import { writeFileSync, readdirSync } from "node:fs";
    export const handler = ({ leave }) => { if (leave) writeFileSync("/tmp/" + leave, "left"); return readdirSync("/tmp"); };`;
  const accounts = ["one", "two", "three"];
  for (const account of accounts) await platform.deploy("files", leave, { account, settings: { keepAliveMs: 60_000 } });
  const replies = await Promise.all(accounts.map((account) => platform.call(`${account}/files`, { leave: account })));
  wellEnded(t, replies);
  t.is(placesOf(replies, "Pilot-Instance").size, accounts.length);
  t.deepEqual(
    replies.map(({ value }) => value),
    accounts.map((account) => [account]),
  );
  for (const account of accounts) await release(account, "files");
  await platform.deploy("files", leave, { account: "finder", settings: { keepAliveMs: 60_000 } });
  t.deepEqual((await platform.call("finder/files", {})).value, []);
  await release("finder", "files");
});

test("F015 with no warm instance anywhere one is booted on a host that has room for it", async (t) => {
  const pool = (warm: number) => platform.operator.bus.ask(setPool, [], { runtime: "node", memoryMb: 1_024, warm });
  t.deepEqual((await pool(0)).unconfirmed, []);
  await until(async () => (await hosts()).every((host) => warmOf(host).length === 0), "no warm instance", 20_000);
  await platform.deploy("slow", SLOW, { account: "booted", settings: { ...HALF, memoryMb: 1_024 } });
  // Each fills an instance, so each needs one of its own, and no host has room for two.
  const replies = await Promise.all(
    Array.from({ length: 3 }, () => platform.call("booted/slow", { ms: 4_000 }, { "Pilot-Deadline": "20000" }, 40_000)),
  );
  wellEnded(t, replies);
  t.deepEqual([...placesOf(replies, "Pilot-Rung")], ["cold"]);
  t.deepEqual([...placesOf(replies, "Pilot-Host")].sort(), HOSTS);
  await release("booted", "slow");
  t.deepEqual((await pool(1)).unconfirmed, []);
  await atRest();
});

test("F019 F020 both languages find instances of their own on whichever host has one", async (t) => {
  await platform.deploy("py", PYTHON, { account: "languages", runtime: "python", settings: HALF });
  await platform.deploy("js", ECHO, { account: "languages", settings: HALF });
  const [py, js] = await Promise.all([platform.call("languages/py", { n: 1 }), platform.call("languages/js", { n: 2 })]);
  t.deepEqual([py.value, js.value], [{ n: 1 }, { n: 2 }]);
  const runtimes = new Map((await hosts()).flatMap(({ instances }) => instances.map(({ id, runtime }) => [id, runtime] as const)));
  t.is(runtimes.get(py.headers["Pilot-Instance"] ?? ""), "python");
  t.is(runtimes.get(js.headers["Pilot-Instance"] ?? ""), "node");
  await release("languages", "py", "js");
});

test("F024 more containers than one host has room for are readied on several, and first calls are hot on each of them", async (t) => {
  await atRest();
  await platform.deploy("ready", SLOW, { account: "preload", settings: HALF });
  t.deepEqual(await platform.operator.bus.ask(preloadFunction, [], { account: "preload", name: "ready", count: 4 }), { ready: 4 });
  const replies = await Promise.all(Array.from({ length: 4 }, () => platform.call("preload/ready", { ms: 2_000 })));
  wellEnded(t, replies);
  t.deepEqual([...placesOf(replies, "Pilot-Rung")], ["hot"]);
  t.is(placesOf(replies, "Pilot-Host").size, 2);
  await release("preload", "ready");
});

test("F028 the record of a call is found by its id, whichever host ran it", async (t) => {
  await atRest();
  await platform.deploy("seen", SLOW, { account: "records", settings: { ...HALF, memoryMb: 1_024 } });
  const replies = await Promise.all(Array.from({ length: 3 }, () => platform.call("records/seen", { ms: 3_000 }, {}, 30_000)));
  wellEnded(t, replies);
  t.true(placesOf(replies, "Pilot-Host").size > 1);
  for (const { headers } of replies) {
    const id = headers["Pilot-Call"] ?? "";
    const { host, receivedAt, startedAt } = await until(
      async () => (await platform.operator.bus.ask(showCall, [], { id })).call,
      `the record of ${id}`,
      20_000,
    );
    t.is(host, headers["Pilot-Host"] ?? "");
    t.true(receivedAt <= startedAt);
  }
  await release("records", "seen");
});
