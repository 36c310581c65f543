/**
 * Mixed load while frontends, schedulers, hosts and spawners are killed with -9 at random moments, and an account of every
 * call at the end. `PILOT_CHAOS_SEED` repeats a run, as far as real processes can; `PILOT_CHAOS_ROUNDS` makes it longer.
 */
import { readdir } from "node:fs/promises";
import test from "ava";
import { LIMITS } from "../../protocol/limits.ts";
import {
  allGone,
  countRuns,
  groupRoot,
  isSilence,
  type Known,
  onlyItsInstances,
  PATIENCE_MS,
  pidOf,
  replaced,
  servesAgain,
  spawnerOf,
  treeBelow,
  WORK,
} from "../support/faults.ts";
import { type Ended, startPlatform } from "../support/platform.ts";
import { seededRandom } from "../support/random.ts";
import { until } from "../support/until.ts";

const ROUNDS = Number(process.env["PILOT_CHAOS_ROUNDS"] ?? 10);
/** The same deaths each time, so that a change is judged by the same; a longer run draws its own. */
const SEED = Number(process.env["PILOT_CHAOS_SEED"] ?? (ROUNDS > 10 ? Date.now() % 1_000_000 : 401));
const PER_SECOND = 40;
const WAIT_MS = 8_000;
/** Who has heard nothing for this long hears nothing any more: a call that has its place waits until its container is made. */
const CALLER_MS = WAIT_MS + LIMITS.boot.value + LIMITS.load.value + LIMITS.replyGrace.value;
/** A node that ends more than five times in half a minute ends the whole form, as it should. */
const MOST_KILLS = 4;
const TARGETS = ["direct", "placed", "pair", "again", "snake"] as const;
const VICTIMS = ["frontend-1", "scheduler-1", "host-1", "spawner"] as const;
/** What may be said to a caller under these deaths. */
const TYPED = new Set(["InstanceLost", "Throttled", "Unavailable"]);
/** Event loops that a message passes, on a busy machine; the broker sees the end of a killed process within it. */
const WIRE_MS = 500;
/** A direct call is reported to its keeper at this age. */
const YOUNG_MS = LIMITS.lostDirectCall.value + WIRE_MS;
/** Functions that hosts answer directly once they are called often. */
const DIRECT: readonly string[] = ["direct", "pair", "again", "snake"];

interface Made {
  readonly n: number;
  readonly target: (typeof TARGETS)[number];
  readonly at: number;
  ended: Ended | undefined;
}

const PYTHON = `
import time
def handler(event, context):
    context.publish("ran", {"n": event["n"]})
    time.sleep(event.get("ms", 0) / 1000)
    return {"n": event["n"]}
`;

test(`ten rounds of random deaths under mixed load: every call is accounted for, none runs twice, and nothing is left over (seed ${SEED})`, async (t) => {
  t.timeout(240_000);
  const random = seededRandom(SEED);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)] as T;
  const platform = await startPlatform({ warm: { node: 2, python: 1 } }, t);
  const runs = await countRuns(platform);
  await platform.deploy("direct", WORK, { settings: { class: "busy" } });
  await platform.deploy("placed", WORK, { settings: { class: "rare" } });
  await platform.deploy("pair", WORK, { settings: { containers: 2 } });
  await platform.deploy("again", WORK, { settings: { idempotent: true } });
  await platform.deploy("snake", PYTHON, { runtime: "python" });
  for (const target of TARGETS) await servesAgain(platform, target, 0);

  const made: Made[] = [];
  const open = new Set<Promise<void>>();
  const timer = setInterval(() => {
    const one: Made = { n: made.length + 1, target: pick(TARGETS), at: performance.now(), ended: undefined };
    made.push(one);
    const done = platform
      .call(one.target, { n: one.n, ms: Math.floor(random.next() ** 3 * 400) }, { "Pilot-Deadline": String(WAIT_MS) }, CALLER_MS)
      .then((ended) => {
        one.ended = ended;
        open.delete(done);
      });
    open.add(done);
  }, 1_000 / PER_SECOND);
  t.teardown(() => clearInterval(timer));

  const deaths: { readonly victim: string; readonly at: number; backAt: number }[] = [];
  const corpses: Known[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const end = performance.now() + 200 + random.next() * 1_000;
    await until(() => performance.now() > end, "the moment of a death", PATIENCE_MS);
    const recent = (victim: string) => deaths.filter((death) => death.victim === victim && performance.now() - death.at < 30_000).length;
    const victim = pick(VICTIMS.filter((one) => recent(one) < MOST_KILLS));
    const pid = victim === "spawner" ? await spawnerOf(pidOf(platform, "host-1")) : pidOf(platform, victim);
    corpses.push(...treeBelow(pid));
    const death = { victim, at: performance.now(), backAt: Number.POSITIVE_INFINITY };
    deaths.push(death);
    process.kill(pid, "SIGKILL");
    if (victim === "spawner") await until(async () => (await spawnerOf(pidOf(platform, "host-1"))) !== pid, "another spawner", PATIENCE_MS);
    else await replaced(platform, victim, pid);
    death.backAt = performance.now();
  }
  clearInterval(timer);
  await Promise.all(open);

  const tally: Record<string, number> = {};
  const wrong: string[] = [];
  for (const { n, target, at, ended } of made) {
    const name = ended === undefined ? "none" : isSilence(ended) ? "silence" : (ended.error ?? "answered");
    tally[name] = (tally[name] ?? 0) + 1;
    const count = runs.get(n) ?? 0;
    if (count > 1 && target !== "again") wrong.push(`call ${n} of ${target} ran ${count} times`);
    if (name === "answered") {
      if ((ended?.value as { n?: number } | undefined)?.n !== n) wrong.push(`call ${n} of ${target} was answered ${ended?.text}`);
    } else if (name === "silence") {
      // What came to a frontend and went nowhere yet dies with it, and a young direct call with its host; and what was sent there before the broker noticed.
      const excused = deaths.some(
        (death) =>
          at <= Math.min(death.backAt, death.at + WIRE_MS) &&
          ((death.victim === "frontend-1" && count === 0 && death.at - at <= WIRE_MS) ||
            (death.victim === "host-1" && DIRECT.includes(target) && death.at - at <= YOUNG_MS)),
      );
      if (!excused)
        wrong.push(
          `call ${n} of ${target}, made ${deaths.map((death) => `${Math.round(death.at - at)} ms before the death of ${death.victim}`).join(", ")}, heard nothing`,
        );
    } else if (!TYPED.has(name)) wrong.push(`call ${n} of ${target} ended as ${name}: ${ended?.message}`);
  }
  if (process.env["PILOT_CHAOS_DETAILS"] !== undefined) for (const line of details(made)) t.log(line);
  t.log(`seen: deaths of ${deaths.map((death) => death.victim).join(", ")}; ${made.length} calls: ${JSON.stringify(tally)}`);
  t.deepEqual(wrong, []);
  t.true((tally["answered"] ?? 0) > 0);

  for (const target of TARGETS) await servesAgain(platform, target, 0);
  t.deepEqual((await platform.fleet()).waiting, {});
  await onlyItsInstances(platform);
  await allGone(corpses, "all that belonged to killed processes");

  const living = ["broker", "frontend-1", "scheduler-1", "host-1"].flatMap((name) => treeBelow(pidOf(platform, name)));
  const groups = await groupRoot(living);
  await platform.stop();
  await allGone(living, "all processes of the platform");
  if (groups !== undefined) t.deepEqual(await readdir(groups).catch(() => []), []);
});

/** How often each error was said to callers of each function, in what words. */
function details(made: readonly Made[]): string[] {
  const counts = new Map<string, number>();
  for (const { target, ended } of made) {
    if (ended?.error === undefined) continue;
    const key = `${target}: ${ended.error}: ${ended.message}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([key, count]) => `${count} × ${key}`);
}
