/** What is told from the hosts' own descriptions. */
import test from "ava";
import { choose, poolStates, targetsInForce } from "../../cli/commands/pool.ts";
import { judgeBroker, judgeHost, judgeProtocols, judgeRoles, worst } from "../../cli/doctor.ts";
import type { Finding } from "../../cli/examine/finding.ts";
import { Usage } from "../../cli/failure.ts";
import { type Counters, counts, type Host, type Instance, places, sumFunctions } from "../../cli/fleet.ts";
import { bytes, milliseconds } from "../../cli/output.ts";
import { PROTOCOL } from "../../protocol/version.ts";

const counters = (over: Partial<Counters>): Counters => ({
  account: "main",
  function: "f",
  version: 1,
  calls: 0,
  direct: 0,
  failures: {},
  rungs: {},
  runMs: { mean: 0, p50: 0, p99: 0 },
  ...over,
});
const instance = (over: Partial<Instance>): Instance => ({
  id: "i1",
  host: "h1",
  runtime: "node",
  runtimeVersion: "node 20",
  memoryMb: 512,
  usedMb: 0,
  state: "warm",
  account: null,
  network: false,
  containers: [],
  code: [],
  ...over,
});
const host = (over: Partial<Host>): Host => ({
  id: "h1",
  epoch: "e",
  memoryMb: 1_000,
  usedMb: 0,
  cores: 2,
  draining: false,
  isolation: { kind: "bubblewrap", namespaces: true, seccomp: true, cgroups: "v2", ownUid: true, network: "own", gaps: [] },
  runtimes: { node: "20.20.2" },
  instances: [],
  pools: [],
  cache: [],
  downloads: 0,
  grants: [],
  functions: [],
  counters: {},
  ...over,
});

test("a function's figures are added over hosts and versions; percentiles are the worst host's", (t) => {
  const [sum, ...rest] = sumFunctions([
    host({
      functions: [
        counters({ calls: 90, direct: 80, rungs: { hot: 89, warm: 1 }, runMs: { mean: 1, p50: 1, p99: 5 } }),
        counters({ version: 2, calls: 10, runMs: { mean: 11, p50: 2, p99: 3 } }),
      ],
    }),
    host({
      id: "h2",
      functions: [counters({ calls: 100, failures: { TimedOut: 2 }, rungs: { hot: 100 }, runMs: { mean: 1, p50: 1, p99: 9 } })],
    }),
  ]);
  t.deepEqual(rest, []);
  t.like(sum, { calls: 200, direct: 80, failures: { TimedOut: 2 }, rungs: { hot: 189, warm: 1 }, hosts: 2 });
  t.deepEqual(sum?.runMs, { mean: 1.5, p50: 2, p99: 9 });
  t.is(counts(sum?.rungs ?? {}), "hot 189, warm 1");
});

test("F012 a function's code is found on instances that have it and in containers that loaded it", (t) => {
  const found = places(
    [
      host({
        instances: [
          instance({
            id: "i1",
            account: "main",
            state: "active",
            code: ["main.f.1", "main.g.1"],
            containers: [{ id: "c1", state: "idle", account: "main", function: "f", version: 2 }],
          }),
          instance({ id: "i2", account: "other", state: "active", code: ["other.f.1"] }),
        ],
      }),
    ],
    "main",
    "f",
  );
  t.deepEqual(found, [
    { host: "h1", instance: "i1", version: 2, containers: [{ id: "c1", state: "idle" }] },
    { host: "h1", instance: "i1", version: 1, containers: [] },
  ]);
});

test("F029 warm and active instances are reported apart, also without a target", (t) => {
  const states = poolStates([
    host({
      pools: [{ runtime: "node", memoryMb: 512, warm: 2 }],
      instances: [
        instance({}),
        instance({ id: "i2", state: "active", account: "main" }),
        instance({ id: "i3", runtime: "python", state: "booting" }),
      ],
    }),
  ]);
  t.deepEqual(states, [
    { host: "h1", runtime: "node", memoryMb: 512, target: 2, warm: 1, active: 1, booting: 0, draining: 0 },
    { host: "h1", runtime: "python", memoryMb: 512, target: 0, warm: 0, active: 0, booting: 1, draining: 0 },
  ]);
});

test("F021 a pool is named by runtime and size, or by `warm` for all", (t) => {
  const pools = [
    { runtime: "node", memoryMb: 512, warm: 2 },
    { runtime: "python", memoryMb: 256, warm: 1 },
  ] as const;
  t.deepEqual(choose(pools, "warm", undefined), [
    { runtime: "node", memoryMb: 512 },
    { runtime: "python", memoryMb: 256 },
  ]);
  t.deepEqual(choose(pools, "node", undefined), [{ runtime: "node", memoryMb: 512 }]);
  t.deepEqual(choose(pools, "node", 1_024), [{ runtime: "node", memoryMb: 1_024 }]);
  t.throws(() => choose(pools, "warm", 64), { instanceOf: Usage });
});

test("F021 of the targets that hosts follow, the largest of each configuration is in force", (t) => {
  const own = { runtime: "node" as const, memoryMb: 512, warm: 2 };
  const python = { runtime: "python" as const, memoryMb: 512, warm: 0 };
  const hosts = [host({ pools: [own, python] }), host({ id: "h2", pools: [{ ...own, warm: 1 }] })];
  t.deepEqual(targetsInForce(hosts), [own, python]);
  t.deepEqual(choose(targetsInForce(hosts), "warm", undefined).length, 2);
  t.throws(() => choose([], "node", undefined), { instanceOf: Usage });
});

const verdicts = (found: readonly Finding[]): string[] => found.map((row) => `${row.check}: ${row.verdict}`);
const features = { syncInterval: true, logCount: true, dropsHungClients: true };
const broker = {
  version: "2.14.0",
  name: "n",
  url: "x",
  maxPayload: 4_194_304,
  roundTripMs: 1,
  features,
  jetstream: { streams: 1, bytes: 1 },
};

test("the doctor warns of nodes of the release before, and fails where releases are farther apart", (t) => {
  const nodes = (...protocols: number[]) =>
    protocols.map((protocol, nth) => ({ name: "pilot-host", id: `${nth}`, version: "1", node: `h${nth}`, protocol }));
  t.deepEqual(judgeProtocols([]), []);
  t.deepEqual(verdicts(judgeProtocols(nodes(PROTOCOL, PROTOCOL))), ["protocol: ok"]);
  const [beside] = judgeProtocols(nodes(PROTOCOL, PROTOCOL - 1, PROTOCOL + 1));
  t.is(beside?.verdict, "warn");
  t.regex(beside?.detail ?? "", new RegExp(`h1 speaks protocol ${PROTOCOL - 1}, h2 speaks protocol ${PROTOCOL + 1}`));
  t.deepEqual(verdicts(judgeProtocols(nodes(PROTOCOL, PROTOCOL + 2))), ["protocol: fail"]);
});

test("the doctor tells a reduced broker, missing JetStream, missing roles and gaps of isolation", (t) => {
  t.is(worst(judgeBroker(broker, "test")), "ok");
  const reduced = judgeBroker(
    {
      ...broker,
      version: "2.9.10",
      maxPayload: 1_048_576,
      features: { ...features, dropsHungClients: false },
      jetstream: { missing: "503" },
    },
    "test",
  );
  t.deepEqual(verdicts(reduced), ["connection: ok", "broker: warn", "payload: warn", "jetstream: fail"]);
  const services = [{ name: "pilot-scheduler", id: "x", version: "1", node: "s1", protocol: PROTOCOL }];
  t.deepEqual(verdicts(judgeRoles(services, [{ role: "host", id: "h1" }])), ["scheduler: ok", "frontend: fail", "host: ok"]);
  t.is(worst(judgeHost(host({}))), "ok");
  const bare = judgeHost(
    host({
      isolation: {
        kind: "process",
        namespaces: false,
        seccomp: false,
        cgroups: "none",
        ownUid: false,
        network: "host",
        gaps: ["no namespaces"],
      },
      runtimes: {},
    }),
  );
  t.deepEqual(verdicts(bare), ["h1 isolation: ok", "h1 gap: warn", "h1 runtimes: fail"]);
  for (const row of [...reduced, ...bare]) t.is(row.next === undefined, row.verdict === "ok", row.check);
});

test("the doctor says whether a host can give functions a network, and what to do where it cannot", (t) => {
  t.true(verdicts(judgeHost(host({}))).includes("h1 network: ok"));
  const { isolation } = host({});
  const without = judgeHost(
    host({ isolation: { ...isolation, network: "none", gaps: ["Functions deployed with --network are refused here: no."] } }),
  );
  t.deepEqual(verdicts(without), ["h1 isolation: ok", "h1 gap: warn", "h1 runtimes: ok"]);
  t.regex(without.find((row) => row.verdict === "warn")?.next ?? "", /start the host again/);
});

test("amounts are written for people", (t) => {
  t.deepEqual([0, 999, 1_000, 1_234_567].map(bytes), ["0 B", "999 B", "1.0 KB", "1.2 MB"]);
  t.deepEqual([0.123, 12, 3_500, 120_000].map(milliseconds), ["0.12 ms", "12 ms", "3.5 s", "2 m"]);
});
