import test from "ava";
import { LIMITS } from "../../../protocol/limits.ts";
import {
  listAccounts,
  listFunctions,
  removeAccount,
  removeFunction,
  setAccount,
  setAlias,
  setFunction,
  showFunction,
} from "../../../protocol/messages/registry.ts";
import { faultOf, world } from "./world.ts";

const which = { account: "main", name: "f" };

test("functions are listed by account and name", async (t) => {
  const { deploy, operator } = await world();
  await deploy("b");
  await deploy("a");
  await deploy("a", { account: "acme" });
  const names = async (account?: string) =>
    (await operator.ask(listFunctions, [], account === undefined ? {} : { account })).functions.map(
      (record) => `${record.account}.${record.name}`,
    );
  t.deepEqual(await names(), ["acme.a", "main.a", "main.b"]);
  t.deepEqual(await names("main"), ["main.a", "main.b"]);
  t.deepEqual(await names("nobody"), []);
});

test("what is set stays with the next deploy, and null gives the class back to the platform", async (t) => {
  const { deploy, operator } = await world();
  await deploy("f");
  const set = (change: Parameters<typeof setFunction.request.parse>[0]) =>
    operator.ask(setFunction, [], { ...which, change: change as { memoryMb: number } });
  const { settings } = (
    await set({ memoryMb: 512, timeoutMs: 1_000, keepAliveMs: 0, class: "busy", direct: false, idempotent: true, containers: 3 })
  ).function;
  t.deepEqual(settings, { memoryMb: 512, timeoutMs: 1_000, keepAliveMs: 0, class: "busy", direct: false, idempotent: true, containers: 3 });
  t.deepEqual((await deploy("f")).function.settings, settings);
  t.is((await set({ class: null })).function.settings.class, undefined);
  t.is(await faultOf(operator.ask(setFunction, [], { ...which, name: "nobody", change: {} })), "FunctionNotFound");
  t.is(await faultOf(set({ memory: 1 })), "BadRequest");
});

test("changes of different settings at once are all kept", async (t) => {
  const { deploy, operator } = await world({ schedulers: 4 });
  await deploy("f");
  const change = (one: object) => operator.ask(setFunction, [], { ...which, change: one });
  await Promise.all([
    change({ memoryMb: 512 }),
    change({ timeoutMs: 5 }),
    change({ direct: false }),
    change({ containers: 2 }),
    change({ idempotent: true }),
    deploy("f"),
  ]);
  const { function: record } = await operator.ask(showFunction, [], which);
  t.deepEqual(record.settings, { memoryMb: 512, timeoutMs: 5, keepAliveMs: 600_000, direct: false, containers: 2, idempotent: true });
  t.deepEqual(record.versions, [1, 2]);
});

test("an alias points at versions that exist, by weights that sum to 100", async (t) => {
  const { deploy, operator } = await world();
  await deploy("f");
  await deploy("f");
  const alias = (name: string, ...shares: [number, number][]) =>
    operator.ask(setAlias, [], { ...which, alias: name, shares: shares.map(([version, weight]) => ({ version, weight })) });
  t.deepEqual((await alias("beta", [1, 90], [2, 10])).function.aliases["beta"], [
    { version: 1, weight: 90 },
    { version: 2, weight: 10 },
  ]);
  t.deepEqual((await alias("live", [1, 100])).function.aliases["live"], [{ version: 1, weight: 100 }], "a roll back");
  t.deepEqual((await deploy("f")).function.aliases["live"], [{ version: 3, weight: 100 }]);
  t.is(await faultOf(alias("beta", [1, 90])), "BadRequest");
  t.is(await faultOf(alias("beta", [1, 50], [1, 50])), "BadRequest");
  t.is(await faultOf(alias("beta", [9, 100])), "FunctionNotFound");
  t.is(await faultOf(alias("beta")), "BadRequest");
  t.is(await faultOf(alias("beta", [1, 0], [2, 100])), "BadRequest");
  t.is(await faultOf(alias("7", [1, 100])), "BadName");
  t.is(await faultOf(alias("a.b", [1, 100])), "BadRequest");
  const remove = (name: string) => operator.ask(setAlias, [], { ...which, alias: name, shares: null });
  t.is(await faultOf(remove("live")), "BadRequest");
  t.is(await faultOf(remove("gamma")), "NotFound");
  t.is((await remove("beta")).function.aliases["beta"], undefined);
});

test("aliases of a function are bounded", async (t) => {
  const { deploy, operator } = await world({ hosts: 0, frontends: 0, schedulers: 1 });
  await deploy("f");
  const shares = [{ version: 1, weight: 100 }];
  for (let nth = 1; nth < LIMITS.aliases.value; nth++) await operator.ask(setAlias, [], { ...which, alias: `a${nth}`, shares });
  t.is(await faultOf(operator.ask(setAlias, [], { ...which, alias: "one-more", shares })), "BadRequest");
  t.is(await faultOf(operator.ask(setAlias, [], { ...which, alias: "a1", shares })), "nothing");
});

test("removing a function removes its versions and reaches every node before the answer; its numbers are not given again", async (t) => {
  const { deploy, operator, buckets, node, live } = await world();
  await deploy("f");
  await deploy("f");
  buckets.functions.holdWatches();
  t.deepEqual(await operator.ask(removeFunction, [], which), { removed: true, unconfirmed: [] });
  t.deepEqual(buckets.functions.keys(), []);
  t.deepEqual(buckets.versions.keys(), []);
  for (const name of [...live.frontends, ...live.schedulers]) t.is(node(name).registry.function("main", "f"), undefined, name);
  t.deepEqual(await operator.ask(removeFunction, [], which), { removed: false, unconfirmed: [] });
  t.is(await faultOf(operator.ask(showFunction, [], which)), "FunctionNotFound");
  const again = await deploy("f");
  t.is(again.version.version, 3);
  t.deepEqual(again.function.versions, [3]);
  t.is(node("frontend-0").registry.function("main", "f")?.newest, 3);
});

test("F006 an account holds the parameters that bound its runs; null takes a bound away", async (t) => {
  const { deploy, operator, node } = await world();
  await deploy("f", { account: "acme" });
  const set = (change: object) => operator.ask(setAccount, [], { account: "acme", create: false, ...change });
  const { account, unconfirmed } = await set({ timeoutMs: 1_000, memoryMb: 256, containers: 4 });
  t.deepEqual(unconfirmed, []);
  t.like(account, { name: "acme", timeoutMs: 1_000, memoryMb: 256, containers: 4, active: true });
  t.is(node("frontend-1").registry.account("acme")?.timeoutMs, 1_000);
  const cleared = (await set({ timeoutMs: null, active: false })).account;
  t.false("timeoutMs" in cleared);
  t.is(cleared.memoryMb, 256);
  t.is(node("scheduler-1").registry.account("acme")?.active, false);
  t.deepEqual((await operator.ask(listAccounts, [], {})).accounts, [cleared]);
});

test("an account is added once, and set only when it exists, but for the default one", async (t) => {
  const { operator } = await world();
  const set = (account: string, create: boolean) => operator.ask(setAccount, [], { account, create });
  t.is(await faultOf(set("acme", false)), "NotFound");
  t.is((await set("acme", true)).account.containers, LIMITS.containersPerAccount.value);
  t.is(await faultOf(set("acme", true)), "BadRequest");
  t.is(await faultOf(set("main", false)), "nothing");
  t.is(await faultOf(operator.ask(setAccount, [], { account: "acme", create: false, memoryMb: -1 })), "BadRequest");
  t.is(await faultOf(operator.ask(setAccount, [], { account: "acme", create: false, admin: true } as never)), "BadRequest");
});

test("an account without functions is removed everywhere, one with functions is not, and a deploy makes it anew", async (t) => {
  const { deploy, operator, node, buckets } = await world();
  const remove = (account: string) => operator.ask(removeAccount, [], { account });
  t.is(await faultOf(remove("acme")), "NotFound");
  await deploy("f", { account: "acme" });
  await operator.ask(setAccount, [], { account: "acme", create: false, timeoutMs: 1_000 });
  t.is(await faultOf(remove("acme")), "BadRequest");
  t.is(node("frontend-0").registry.account("acme")?.timeoutMs, 1_000);
  await operator.ask(removeFunction, [], { account: "acme", name: "f" });
  t.deepEqual(await remove("acme"), { unconfirmed: [] });
  t.deepEqual(buckets.accounts.keys(), []);
  t.is(node("frontend-1").registry.account("acme"), undefined);
  t.is(node("scheduler-1").registry.account("acme"), undefined);
  t.is(await faultOf(remove("acme")), "NotFound");
  await deploy("f", { account: "acme" });
  t.is(node("frontend-0").registry.account("acme")?.timeoutMs, undefined);
  t.true(node("frontend-0").registry.account("acme")?.active);
});

test("hosts hear of a function that is removed, so that its idle containers go", async (t) => {
  const { deploy, operator, node } = await world();
  await deploy("f");
  t.is(node("host-0").synced.length, 0);
  await operator.ask(removeFunction, [], { account: "main", name: "f" });
  for (const host of ["host-0", "host-1"]) t.like(node(host).synced[0], { function: { key: "main.f", record: null } });
});

test("a list that fits into no message says so and one account's still comes", async (t) => {
  const { operator, buckets, clock } = await world({ schedulers: 1, frontends: 0, hosts: 0 });
  const settings = { memoryMb: 128, timeoutMs: 1, keepAliveMs: 1, direct: true, idempotent: false, containers: 1 };
  const versions = Array.from({ length: LIMITS.versions.value }, (_, at) => 900_000_000 + at);
  for (let nth = 0; nth < 1_000; nth++) {
    const account = nth < 10 ? "small" : "large";
    const record = {
      account,
      name: `f${nth}`,
      settings,
      aliases: { live: [{ version: 900_000_000, weight: 100 }] },
      newest: 900_000_999,
      versions,
      createdAt: 1,
      changedAt: 1,
    };
    await buckets.functions.create(`${account}.f${nth}`, record);
  }
  await clock.settle();
  t.is(await faultOf(operator.ask(listFunctions, [], {})), "PayloadTooLarge");
  t.is((await operator.ask(listFunctions, [], { account: "small" })).functions.length, 10);
});
