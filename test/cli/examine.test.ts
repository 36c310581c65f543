/** What `pilot doctor` makes of what it sees. */
import test from "ava";
import { checked, fail, ok } from "../../cli/examine/finding.ts";
import { type Asked, judgeNodes } from "../../cli/examine/nodes.ts";
import { judgeStorage } from "../../cli/examine/storage.ts";
import { Interrupted } from "../../cli/failure.ts";
import type { StreamView } from "../../nodes/io/streams.ts";
import { Fault } from "../../protocol/errors.ts";
import { VERSION } from "../../protocol/version.ts";

const stream = (over: Partial<StreamView>): StreamView => ({
  name: "KV_pilot_functions",
  messages: 1,
  bytes: 100,
  limitBytes: 0,
  replicas: 3,
  leader: "n1",
  followers: [
    { name: "n2", current: true, offline: false, lag: 0 },
    { name: "n3", current: true, offline: false, lag: 0 },
  ],
  isClustered: true,
  ...over,
});
const verdicts = (streams: StreamView[]): string[] => judgeStorage(streams).map(({ check, verdict }) => `${check}: ${verdict}`);

test("storage is well where every stream is led and every copy stands; one server alone needs no leader", (t) => {
  t.deepEqual(verdicts([stream({}), stream({ name: "PILOT_CALLS" })]), ["storage: ok"]);
  t.deepEqual(verdicts([stream({ replicas: 1, leader: undefined, followers: [], isClustered: false })]), ["storage: ok"]);
});

test("a stream without leader, a copy that is away or behind, a single copy in a cluster and a full bucket are told", (t) => {
  t.deepEqual(verdicts([]), ["storage: fail"]);
  t.deepEqual(verdicts([stream({ leader: undefined })]), ["storage KV_pilot_functions: fail"]);
  const away = [
    { name: "n2", current: false, offline: true, lag: 9 },
    { name: "n3", current: true, offline: false, lag: 0 },
  ];
  t.deepEqual(verdicts([stream({ followers: away })]), ["storage KV_pilot_functions: warn"]);
  const behind = [
    { name: "n2", current: false, offline: false, lag: 5 },
    { name: "n3", current: true, offline: false, lag: 0 },
  ];
  t.deepEqual(verdicts([stream({ followers: behind })]), ["storage KV_pilot_functions: warn"]);
  t.deepEqual(verdicts([stream({ replicas: 1, followers: [] })]), ["storage copies: warn"]);
  t.deepEqual(verdicts([stream({ limitBytes: 105 })]), ["storage KV_pilot_functions: warn"]);
  // Records are meant to fill their bound: the oldest go.
  t.deepEqual(verdicts([stream({ name: "PILOT_LOGS", limitBytes: 100 })]), ["storage: ok"]);
});

const asked = (id: string, over: Partial<Asked["node"]> = {}, skewMs = 0, doubtMs = 1): Asked => ({
  skewMs,
  doubtMs,
  node: {
    node: id,
    role: "host",
    epoch: "e",
    version: VERSION,
    startedAt: 0,
    at: 1,
    uptimeMs: 1,
    servers: { calls: "s", control: "s" },
    process: {
      pid: 1,
      memoryBytes: 1,
      heapBytes: 1,
      cpuSeconds: 1,
      loopDelayMs: { p99: 1, max: 1 },
      machine: { cores: 1, busySeconds: 1, idleSeconds: 1, load1: 1 },
      reconnects: 0,
    },
    actors: [],
    actorsLeft: 0,
    counters: {},
    held: {},
    waits: [],
    limits: {},
    ...over,
  },
});
const told = (nodes: Asked[], silent: string[] = []): string[] =>
  judgeNodes({ asked: nodes, silent }).map(({ check, verdict }) => `${check}: ${verdict}`);

test("clocks that are apart are told once the difference is beyond what the round trips leave in doubt", (t) => {
  t.deepEqual(told([asked("a"), asked("b", {}, 400)]), ["clocks: ok", "versions: ok"]);
  t.deepEqual(told([asked("a"), asked("b", {}, 5_000)]), ["clocks: warn", "versions: ok"]);
  t.deepEqual(told([asked("a", {}, 0, 3_000), asked("b", {}, 5_000, 3_000)]), ["clocks: ok", "versions: ok"]);
  const found = judgeNodes({ asked: [asked("a"), asked("b", {}, -5_000)], silent: [] });
  t.regex(found[0]?.detail ?? "", /a is before b/);
});

test("a mix of releases, a node that is silent, late, failed or out of room are told", (t) => {
  t.deepEqual(told([asked("a"), asked("b", { version: "0.0.1" })]), ["clocks: ok", "versions: warn"]);
  t.deepEqual(told([asked("a")], ["b"]), ["b answers: fail", "clocks: ok", "versions: ok"]);
  const actors = [{ id: "host", machine: "host", state: "failed", since: 0, gone: true, transitions: [] }];
  const process = { ...asked("a").node.process, loopDelayMs: { p99: 900, max: 950 } };
  t.deepEqual(told([asked("a", { actors, process, limits: { heldBytes: 3, keepAlive: 5 } })]), [
    "clocks: ok",
    "versions: ok",
    "a load: warn",
    "a machines: fail",
    "a limits: warn",
  ]);
});

test("a check that throws or hangs is a finding of its own; only an interruption is passed on", async (t) => {
  t.deepEqual(await checked("c", 1_000, "next", async () => ok("c", "well")), ok("c", "well"));
  const thrown = await checked("c", 1_000, "next", () => Promise.reject(new Fault("TimedOut", "too long")));
  t.deepEqual(thrown, fail("c", "TimedOut: too long", "next"));
  const hung = await checked("c", 1, "next", () => new Promise(() => undefined));
  t.like(hung, { check: "c", verdict: "fail", next: "next" });
  t.regex(hung.detail, /hangs/);
  await t.throwsAsync(
    checked("c", 1_000, "next", () => Promise.reject(new Interrupted("interrupted"))),
    { instanceOf: Interrupted },
  );
});
