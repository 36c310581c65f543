/** How long until the first reply, rung by rung: hot, cached, own, warm, cold; Node and Python; small code and a million bytes. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bundle, makeBundle } from "../nodes/io/bundle/index.ts";
import type { RuntimeName } from "../protocol/runtimes.ts";
import { bareNodeRun } from "./engine/bare.ts";
import { percentile, ratio, spread } from "./engine/figures.ts";
import { echoes, freshName, PASSING, waitBody, withFresh } from "./engine/fresh.ts";
import { large, waiting, waitingPython } from "./engine/handlers.ts";
import { type FleetHost, type Platform, startPlatform, type Traced } from "./engine/platform.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";
import type { TargetName } from "./engine/targets.ts";

const RUNTIMES: readonly RuntimeName[] = ["node", "python"];
const SOURCE = { node: waiting, python: waitingPython } as const satisfies Record<RuntimeName, (mark: string) => string>;
/** Long enough that the container is still busy when the next call comes. */
const BUSY_MS = 400;
const LARGE = { account: "large", name: "large" };
const HEAD_START_MS = 50;
const SETTLE_MS = 10_000;

/** Times by what was wanted, where the trace agrees; what came instead is counted. */
class Seen {
  readonly times = new Map<string, number[]>();
  readonly other = new Map<string, number>();
  wrong = 0;

  take(wanted: string, label: string, traced: Traced): void {
    if (!echoes(traced)) this.wrong += 1;
    if (traced.rung !== wanted) {
      const what = `${label}: ${traced.rung} by ${traced.path} instead of ${wanted}`;
      this.other.set(what, (this.other.get(what) ?? 0) + 1);
      return;
    }
    const list = this.times.get(label);
    if (list === undefined) this.times.set(label, [traced.ms]);
    else list.push(traced.ms);
  }
}

export const rungs: Question = {
  asks: "How long does the first reply take on each rung, and a true cold start beside a bare node process?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform({ warm: { node: 2, python: 2 } });
    const seen = new Seen();
    const bare: number[] = [];
    const cold: number[] = [];
    const folder = await mkdtemp(join(tmpdir(), "pilotlight-bench-"));
    try {
      await writeFile(join(folder, "index.mjs"), large("large"));
      const bundle = await makeBundle(folder);
      await ladder(platform, effort, seen, bundle);
      for (const runtime of RUNTIMES) await platform.pool(runtime, 0);
      for (let round = 0; round < effort.rounds; round += 1) {
        effort.say(`rungs: cold, round ${round + 1}`);
        bare.push(await bareNodeRun());
        const before = seen.times.get("cold, node")?.length ?? 0;
        for (const runtime of RUNTIMES)
          await first(platform, runtime, freshName("account"), SOURCE[runtime]("known"), "cold", `cold, ${runtime}`, seen);
        const times = seen.times.get("cold, node") ?? [];
        // A round in which it was not cold has no ratio.
        cold.push(times.length > before ? (times.at(-1) ?? Number.NaN) : Number.NaN);
      }
      return answerOf(platform, seen, bare, cold);
    } finally {
      await platform.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function ladder(platform: Platform, effort: Effort, seen: Seen, bundle: Bundle): Promise<void> {
  // The first use fills the host's cache and makes the account's cached data: neither is what is measured.
  await platform.deploy(LARGE.account, LARGE.name, bundle, PASSING);
  await returning(platform, "unmeasured", seen);
  await warmCall(platform, "node", { source: SOURCE.node("known"), runtime: "node" }, "unmeasured", seen);
  for (let round = 0; round < effort.rounds; round += 1) {
    effort.say(`rungs: round ${round + 1}`);
    for (const runtime of RUNTIMES) {
      await warmCall(platform, runtime, { source: SOURCE[runtime](freshName("mark")), runtime }, `warm, ${runtime}, code never seen`, seen);
      await warmCall(platform, runtime, { source: SOURCE[runtime]("known"), runtime }, `warm, ${runtime}, code on this host`, seen);
      await family(platform, runtime, seen);
    }
    await warmCall(platform, "node", bundle, "warm, node, 1 MB, first use by the account", seen);
    await returning(platform, "warm, node, 1 MB with cached data", seen);
  }
}

/** An account whose instance is gone comes back to a warm one: what its first call left in the host's cache is there. */
async function returning(platform: Platform, label: string, seen: Seen): Promise<void> {
  await platform.untilFleet(
    "the account's instance is gone",
    (host) => host.instances.every(({ account }) => account !== LARGE.account),
    SETTLE_MS,
  );
  await untilWarm(platform, "node");
  seen.take("warm", label, await call(platform, LARGE.account, LARGE.name, 0));
}

/** An account that nobody has seen takes a warm instance. */
async function warmCall(
  platform: Platform,
  runtime: RuntimeName,
  code: Bundle | { source: string; runtime: RuntimeName },
  label: string,
  seen: Seen,
): Promise<void> {
  await untilWarm(platform, runtime);
  const account = freshName("account");
  await withFresh(platform, account, code, async (name) => seen.take("warm", label, await call(platform, account, name, 0)));
}

async function first(
  platform: Platform,
  runtime: RuntimeName,
  account: string,
  source: string,
  wanted: string,
  label: string,
  seen: Seen,
): Promise<void> {
  await withFresh(platform, account, { source, runtime }, async (name) => seen.take(wanted, label, await call(platform, account, name, 0)));
}

/** In an account that has an instance: hot, cached (the container is busy, a spare stands by), own (another function). */
async function family(platform: Platform, runtime: RuntimeName, seen: Seen): Promise<void> {
  await untilWarm(platform, runtime);
  const account = freshName("account");
  const source = SOURCE[runtime](freshName("mark"));
  await withFresh(platform, account, { source, runtime }, async (name) => {
    // A long first run: with short ones behind it a busy container is worth waiting for, and nothing new is made.
    await call(platform, account, name, BUSY_MS);
    await untilSpare(platform, account);
    seen.take("hot", `hot, ${runtime}, placed`, await call(platform, account, name, 0));
    const busy = call(platform, account, name, BUSY_MS);
    await new Promise((resolve) => setTimeout(resolve, HEAD_START_MS));
    seen.take("cached", `cached, ${runtime}`, await call(platform, account, name, 0));
    await busy;
    await untilSpare(platform, account);
    await first(platform, runtime, account, SOURCE[runtime](freshName("mark")), "own", `own, ${runtime}`, seen);
  });
}

async function call(platform: Platform, account: string, name: string, waitMs: number): Promise<Traced> {
  return platform.traced(account, name, waitBody(waitMs));
}

/** Nothing boots, and the pool of the runtime is full: what is measured is not disturbed by what came before. */
const untilWarm = (platform: Platform, runtime: RuntimeName): Promise<void> =>
  platform.untilFleet(
    `a warm ${runtime} instance and no boot under way`,
    (host) => isQuiet(host) && host.instances.some((one) => one.runtime === runtime && one.state === "warm"),
    SETTLE_MS,
  );

const untilSpare = (platform: Platform, account: string): Promise<void> =>
  platform.untilFleet(
    "a spare container",
    (host) => host.instances.some((one) => one.account === account && one.containers.some(({ state }) => state === "spare")),
    SETTLE_MS,
  );

const isQuiet = (host: FleetHost): boolean => host.instances.every(({ state }) => state !== "booting");

function answerOf(platform: Platform, seen: Seen, bare: readonly number[], cold: readonly number[]): Answer {
  const figures: Figure[] = [];
  const targets: Readonly<Record<string, TargetName>> = {
    "warm, node, code never seen": "warm-rung-p50",
    "warm, node, 1 MB with cached data": "warm-rung-1mb-p50",
    "cold, python": "cold-python-p50",
    "cached, node": "spare-node",
    "own, node": "spare-node",
    "cached, python": "spare-python",
    "own, python": "spare-python",
  };
  for (const label of [...seen.times.keys()].sort()) {
    const times = seen.times.get(label) ?? [];
    if (label === "unmeasured") continue;
    figures.push(figure(label, "ms", spread(times), targets[label]));
    if (label === "warm, node, code never seen")
      figures.push(figure(`p99, ${label}`, "ms", spread([percentile(times, 0.99)]), "warm-rung-p99"));
  }
  if (cold.some(Number.isFinite)) figures.push(figure("cold, node / bare node process", "x", ratio(cold, bare), "cold-p50"));
  figures.push(figure("bare node -e '' from start to end", "ms", spread(bare)));
  return {
    figures,
    lost: 0,
    doubled: platform.caller.doubled + seen.wrong,
    broker: platform.broker,
    notes: [
      ...[...seen.other].map(([what, count]) => `${count} × ${what} (not counted)`),
      "time from request to reply at the caller, with the scheduler's decision; one call at a time, nothing booting beside it unless the rung is cold",
    ],
  };
}
