/** What happens when a node may open no more files and sockets, on real processes; and that it works again when it may. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { countRuns, killAndAwait, onlyItsInstances, PATIENCE_MS, pidOf, servesAgain, spawnerOf, WORK } from "../support/faults.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { until } from "../support/until.ts";

const canLimit = (() => {
  try {
    execFileSync("prlimit", ["--version"], { stdio: "ignore" });
    return process.platform === "linux";
  } catch {
    return false;
  }
})();
const test = (canLimit ? anyTest.serial : anyTest.serial.skip) as unknown as TestFn<never>;
const skipped = canLimit ? "" : " (skipped: no prlimit here)";

/** What may be said to a call for which nothing can be opened. */
const TYPED = ["BootFailed", "Throttled", "Unavailable", "CodeUnavailable", "InstanceLost"];

let platform: Platform;
let runs: Map<number, number>;
let next = 1;
const number = () => next++;

anyTest.serial.before(async () => {
  if (!canLimit) return;
  platform = await startPlatform({ warm: { node: 1, python: 0 } });
  runs = await countRuns(platform);
  await platform.deploy("known", WORK, { settings: { class: "rare" } });
  await platform.deploy("busy", WORK, { settings: { class: "busy" } });
});
anyTest.serial.after.always(() => platform?.stop());

/** The process may open nothing that it does not have open now. Gives the way back. */
function exhaust(t: ExecutionContext<never>, pid: number): () => void {
  const [soft = "", hard = ""] = /^Max open files +(\d+) +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.slice(1) ?? [];
  // What is open stays so; only what is new is measured by it.
  execFileSync("prlimit", ["--pid", String(pid), `--nofile=3:${hard}`]);
  const lift = (): void => {
    try {
      execFileSync("prlimit", ["--pid", String(pid), `--nofile=${soft}:${hard}`], { stdio: "ignore" });
    } catch {
      // It ended.
    }
  };
  t.teardown(lift);
  return lift;
}

const noneTwice = (t: ExecutionContext<never>) =>
  t.deepEqual(
    [...runs].filter(([, count]) => count > 1),
    [],
  );

/** Calls functions that need new containers until some fail, or all are answered from what was in stock. */
async function demandNew(t: ExecutionContext<never>, mark: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const names = Array.from({ length: 6 }, (_, nth) => `${mark}${nth}`);
  for (const name of names) await platform.deploy(name, `${WORK}\n// ${name}`, { settings: { class: "rare" } });
  // At once, so that one container does not serve one after the other.
  const ends = await Promise.all(
    names.map((name) => platform.call(name, { n: number(), ms: 300 }, { "Pilot-Deadline": "6000" }, PATIENCE_MS)),
  );
  for (const { error, message } of ends) {
    t.true(error === undefined || TYPED.includes(error), `${error}: ${message}`);
    counts[error ?? "answered"] = (counts[error ?? "answered"] ?? 0) + 1;
  }
  return counts;
}

for (const [who, pidNow] of [
  ["a host agent", async () => pidOf(platform, "host-1")],
  ["a spawner", async () => spawnerOf(pidOf(platform, "host-1"))],
] as const) {
  test(`${who} without file descriptors: containers that are there go on, new ones end in a typed error, no process ends, and all works when there are some${skipped}`, async (t) => {
    t.timeout(180_000);
    await servesAgain(platform, "known", number());
    const [host, pid] = [pidOf(platform, "host-1"), await pidNow()];
    const lift = exhaust(t, pid);
    const mark = who.replaceAll(/[^a-z]/g, "");
    const counts = await demandNew(t, mark);
    t.log(`seen: of six calls that need a new container ${JSON.stringify(counts)}`);
    const known = await platform.call("known", { n: number() }, { "Pilot-Deadline": "6000" }, PATIENCE_MS);
    t.true(known.error === undefined || TYPED.includes(known.error), `${known.error}: ${known.message}`);
    t.is(pidOf(platform, "host-1"), host, "the host agent is the same");
    lift();
    const began = performance.now();
    for (const name of ["known", "busy", `${mark}0`, `${mark}5`]) await servesAgain(platform, name, number());
    t.log(`seen: everything answered ${Math.round(performance.now() - began)} ms after the limit was lifted`);
    t.is(pidOf(platform, "host-1"), host);
    await onlyItsInstances(platform);
    noneTwice(t);
  });
}

for (const node of ["frontend-1", "scheduler-1"]) {
  test(`${node} without file descriptors answers as before, and comes back from a restart of the broker when there are some${skipped}`, async (t) => {
    t.timeout(120_000);
    const pid = pidOf(platform, node);
    const lift = exhaust(t, pid);
    for (const name of ["known", "busy"]) await servesAgain(platform, name, number());
    await platform.deploy("known", `${WORK}\n// ${node}`, { settings: { class: "rare" } });
    await servesAgain(platform, "known", number());
    await killAndAwait(platform, "broker", "SIGTERM");
    lift();
    const began = performance.now();
    // A new function needs both connections of both nodes: what is known may be answered without the scheduler.
    const fresh = `after-${node}`;
    const deployed = () => platform.deploy(fresh, `${WORK}\n// ${fresh}`, { settings: { class: "rare" } });
    await until(deployed, `a deploy after ${node} had descriptors again`, PATIENCE_MS);
    for (const name of ["known", "busy", fresh]) await servesAgain(platform, name, number());
    t.log(`seen: everything answered ${Math.round(performance.now() - began)} ms after the limit was lifted`);
    t.is(pidOf(platform, node), pid, "it did not end");
    noneTwice(t);
  });
}
