import test from "ava";
import fc from "fast-check";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { deployFunction, removeFunction, setAccount, setAlias, setFunction, showFunction } from "../../../protocol/messages/registry.ts";
import { DIGEST, faultOf, MISSING, order, world } from "./world.ts";

test("F003 a deploy fixes runtime and limits before any call, with the defaults where it names none", async (t) => {
  const { deploy, operator, clock } = await world();
  const { function: record, version, unconfirmed } = await deploy("f", { settings: { memoryMb: 256, idempotent: true } });
  t.deepEqual(unconfirmed, []);
  t.deepEqual(record, {
    account: "main",
    name: "f",
    settings: { memoryMb: 256, timeoutMs: 30_000, keepAliveMs: 600_000, direct: true, idempotent: true, containers: 1_000 },
    aliases: { live: [{ version: 1, weight: 100 }] },
    newest: 1,
    versions: [1],
    createdAt: clock.epoch(),
    changedAt: clock.epoch(),
  });
  t.deepEqual(version, {
    account: "main",
    name: "f",
    version: 1,
    runtime: "node",
    handler: "handler",
    digest: DIGEST,
    bytes: 10,
    hasMap: false,
    environment: {},
    network: false,
    createdAt: clock.epoch(),
  });
  t.deepEqual(await operator.ask(showFunction, [], { account: "main", name: "f" }), { function: record, versions: [version] });
});

test("F004 a thousand deploys tell no host anything", async (t) => {
  const { deploy, traffic, live, node, buckets } = await world({ schedulers: 1, frontends: 1, hosts: 3 });
  await Promise.all(Array.from({ length: 1_000 }, (_, at) => deploy(`f${at}`)));
  t.is(buckets.functions.keys().length, 1_000);
  t.is([...node("frontend-0").registry.functions()].length, 1_000);
  const touched = traffic.filter(
    ({ subject }) =>
      live.hosts.some((host) => subject.split(".").includes(host)) ||
      subject.startsWith("_pilot.agent") ||
      subject.startsWith("_pilot.host"),
  );
  t.deepEqual(touched, []);
  t.is(buckets.accounts.keys().length, 1);
});

test("deploying a name again makes the next version, keeps the settings and moves the live alias", async (t) => {
  const { deploy } = await world();
  await deploy("f", { settings: { memoryMb: 512, class: "busy" } });
  const { function: record } = await deploy("f", { settings: { class: null } });
  t.deepEqual(record.versions, [1, 2]);
  t.deepEqual(record.aliases["live"], [{ version: 2, weight: 100 }]);
  t.is(record.settings.memoryMb, 512);
  t.is(record.settings.class, undefined);
});

test("when deploy has answered, every live frontend and scheduler has the new version", async (t) => {
  const { deploy, node, live, buckets } = await world({ schedulers: 3, frontends: 5 });
  buckets.functions.holdWatches();
  buckets.accounts.holdWatches();
  for (const version of [1, 2, 3]) {
    await deploy("f");
    for (const name of [...live.frontends, ...live.schedulers]) {
      t.is(node(name).registry.function("main", "f")?.newest, version, name);
      t.is(node(name).registry.account("main")?.name, "main", name);
    }
  }
});

test("deploys of one name at once get a version each, none twice, and live points at the newest", async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 24 }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(5), { maxLength: 200 }),
      async (count, schedulers, waits) => {
        const { deploy, buckets } = await world({ schedulers, frontends: 1, hosts: 0 });
        let at = 0;
        // Each step of the service takes a few turns more or less, so that they interleave in every way.
        const dawdle = async () => {
          for (let turns = waits[at++] ?? 0; turns > 0; turns--) await Promise.resolve();
        };
        buckets.functions.before = dawdle;
        buckets.versions.before = dawdle;
        const answers = await Promise.all(Array.from({ length: count }, (_, nth) => deploy("f", { handler: `h${nth}` })));
        const numbers = answers.map((answer) => answer.version.version);
        t.is(new Set(numbers).size, count);
        const record = (await buckets.functions.get("main.f"))?.value;
        t.deepEqual(
          record?.versions,
          [...numbers].sort((a, b) => a - b),
        );
        t.is(record?.newest, Math.max(...numbers));
        t.deepEqual(record?.aliases["live"], [{ version: Math.max(...numbers), weight: 100 }]);
        for (const [nth, answer] of answers.entries()) {
          t.is((await buckets.versions.get(`main.f.${answer.version.version}`))?.value.handler, `h${nth}`);
          t.true(answer.function.versions.includes(answer.version.version));
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("no version number means two codes, whatever is deployed and removed at the same time", async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom("deploy", "remove", "wait"), { minLength: 1, maxLength: 25 }),
      fc.array(fc.nat(5), { maxLength: 200 }),
      async (steps, waits) => {
        const { deploy, operator, buckets } = await world({ schedulers: 3, frontends: 0, hosts: 0 });
        let at = 0;
        const dawdle = async () => {
          for (let turns = waits[at++] ?? 0; turns > 0; turns--) await Promise.resolve();
        };
        buckets.functions.before = dawdle;
        buckets.removed.before = dawdle;
        const given: number[] = [];
        const pending: Promise<unknown>[] = [];
        for (const step of steps) {
          if (step === "deploy") pending.push(deploy("f").then((answer) => given.push(answer.version.version)));
          else if (step === "remove") pending.push(operator.ask(removeFunction, [], { account: "main", name: "f" }));
          else await Promise.all(pending.splice(0));
        }
        await Promise.all(pending);
        t.is(new Set(given).size, given.length, `${given}`);
      },
    ),
    { numRuns: 60 },
  );
});

test("a deploy that meets a conflict again and again gives up with Conflict and leaves no version behind", async (t) => {
  const { deploy, buckets } = await world();
  await deploy("f");
  buckets.functions.before = (operation) => {
    if (operation === "update") throw new Fault("Conflict", "always");
  };
  const before = buckets.functions.counts.update;
  t.is(await faultOf(deploy("f")), "Conflict");
  t.is(buckets.functions.counts.update - before, LIMITS.registryAttempts.value);
  t.deepEqual(buckets.versions.keys(), ["main.f.1"]);
  buckets.functions.before = () => undefined;
  t.is((await deploy("f")).version.version, 2);
});

test("a write whose outcome is unknown keeps the version that the function may name", async (t) => {
  const { deploy, buckets } = await world();
  await deploy("f");
  buckets.functions.before = (operation) => {
    if (operation === "update") throw new Fault("Unavailable", "no answer");
  };
  t.is(await faultOf(deploy("f")), "Unavailable");
  t.deepEqual(buckets.versions.keys(), ["main.f.1", "main.f.2"]);
  buckets.functions.before = () => undefined;
  t.is((await deploy("f")).version.version, 3, "the number of the unknown one is not given again");
});

test("code that is not in the store, an environment or a memory amount that is too large are refused, and nothing is written", async (t) => {
  const { deploy, operator, buckets } = await world();
  t.is(await faultOf(deploy("f", { digest: MISSING })), "CodeUnavailable");
  t.is(await faultOf(deploy("f", { environment: { A: "x".repeat(LIMITS.environment.value) } })), "BadRequest");
  t.is(await faultOf(deploy("f", { environment: { A: "ä".repeat(LIMITS.environment.value / 2) } })), "BadRequest");
  t.is(await faultOf(deploy("f", { bytes: LIMITS.bundle.value + 1 })), "BundleTooLarge");
  t.deepEqual(buckets.functions.keys(), []);
  await operator.ask(setAccount, [], { account: "main", create: true, memoryMb: 64 });
  t.is(await faultOf(deploy("f", { settings: { memoryMb: 65 } })), "NotAllowed");
  t.deepEqual(buckets.versions.keys(), []);
  t.is((await deploy("f")).function.settings.memoryMb, 64, "the default bows to the account");
  t.is(await faultOf(operator.ask(setFunction, [], { account: "main", name: "f", change: { memoryMb: 128 } })), "NotAllowed");
});

test("F009 hostile names, unknown fields and nonsense values are refused by the contract", async (t) => {
  const { operator, buckets, traffic } = await world();
  const bad: [string, unknown][] = [
    ["wildcard", { ...order(), name: "*" }],
    ["dots", { ...order(), name: "a.b" }],
    ["tail", { ...order(), account: ">" }],
    ["space", { ...order(), name: "a b" }],
    ["newline", { ...order(), name: "a\n" }],
    ["long", { ...order(), name: "a".repeat(64) }],
    ["empty", { ...order(), name: "" }],
    ["capital", { ...order(), name: "F" }],
    ["dash", { ...order(), name: "-f" }],
    ["unknown field", { ...order(), root: true }],
    ["unknown setting", { ...order(), settings: { weight: 1 } }],
    ["memory 0", { ...order(), settings: { memoryMb: 0 } }],
    ["memory -1", { ...order(), settings: { memoryMb: -1 } }],
    ["memory 1 TB", { ...order(), settings: { memoryMb: 1_048_576 } }],
    ["fraction", { ...order(), settings: { memoryMb: 64.5 } }],
    ["timeout", { ...order(), settings: { timeoutMs: LIMITS.timeoutMax.value + 1 } }],
    ["digest", { ...order(), digest: "../../etc/passwd" }],
    ["variable", { ...order(), environment: { "LD=X": "1" } }],
    ["nothing", null],
    ["list", []],
  ];
  for (const [what, body] of bad) {
    t.is(await faultOf(operator.ask(deployFunction, [], body as never)), "BadRequest", what);
  }
  t.deepEqual(buckets.functions.keys(), []);
  t.deepEqual(buckets.accounts.keys(), []);
  t.false(traffic.some(({ subject }) => subject.endsWith(".sync")));
});

test("names that mean something to JavaScript are names like others", async (t) => {
  const { deploy, operator, node } = await world();
  for (const name of ["constructor", "tostring", "0", "pilot-x"]) {
    t.is((await deploy(name)).function.name, name);
    t.is(node("frontend-0").registry.function("main", name)?.name, name);
  }
  t.is(node("frontend-0").registry.function("main", "hasownproperty"), undefined);
  t.is(await faultOf(operator.ask(showFunction, [], { account: "main", name: "valueof" })), "FunctionNotFound");
});

test("only so many versions are kept: the oldest that no alias names go", async (t) => {
  const { deploy, buckets, operator } = await world({ schedulers: 1, frontends: 0, hosts: 0 });
  await deploy("f");
  await operator.ask(setAlias, [], { account: "main", name: "f", alias: "old", shares: [{ version: 1, weight: 100 }] });
  for (let nth = 2; nth <= LIMITS.versions.value + 2; nth++) await deploy("f");
  const record = (await buckets.functions.get("main.f"))?.value;
  t.is(record?.versions.length, LIMITS.versions.value);
  t.deepEqual(record?.versions.slice(0, 2), [1, 4]);
  t.is(buckets.versions.keys().length, LIMITS.versions.value);
  const shown = await operator.ask(showFunction, [], { account: "main", name: "f" });
  t.is(shown.versions.length, LIMITS.versionsShown.value);
  t.is(shown.versions[0]?.version, LIMITS.versions.value + 2);
});
