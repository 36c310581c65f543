/**
 * A cluster of three brokers, two frontends, two schedulers and three hosts under mixed load, while any of them is killed, stopped or started
 * again at random; an account of every call at the end. `PILOT_CHAOS_SEED` repeats a run, as far as real processes can; `PILOT_CHAOS_ROUNDS`
 * makes it longer.
 */
import test from "ava";
import { showFleet } from "../../protocol/messages/fleet.ts";
import { absencesOf, type Blow, excuseOf, type How } from "../support/chaos-excuse.ts";
import { startChaosFleet } from "../support/chaos-fleet.ts";
import { deployChaos, KINDS, startChaos } from "../support/chaos-load.ts";
import { PATIENCE_MS } from "../support/faults.ts";
import { seededRandom } from "../support/random.ts";
import { until } from "../support/until.ts";

const ROUNDS = Number(process.env["PILOT_CHAOS_ROUNDS"] ?? 10);
/** The same deaths each time, so that a change is judged by the same; a longer run draws its own. */
const SEED = Number(process.env["PILOT_CHAOS_SEED"] ?? (ROUNDS > 10 ? Date.now() % 1_000_000 : 301));
const PER_SECOND = 30;
/** In ten rounds each comes at least once. */
const HOWS: readonly How[] = ["kill", "kill", "nap", "sleep", "broker kill", "broker restart"];

test.serial(
  `a cluster under random deaths, sleeps and restarts: every call is accounted for, none runs twice, nothing stale runs (seed ${SEED})`,
  async (t) => {
    t.timeout(120_000 + ROUNDS * 60_000);
    const random = seededRandom(SEED);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)] as T;
    const fleet = await startChaosFleet(t);
    const operator = await fleet.cluster.operator();
    await deployChaos(operator);
    const load = await startChaos(fleet.seats, fleet.listeners, random, PER_SECOND);
    t.teardown(() => load.stop());
    /** Each kind of short call was answered for one that was made after this moment; the time when the last one was. */
    const answered = (since: number): number | undefined => {
      const firsts = KINDS.filter((kind) => kind !== "long").map((kind) =>
        Math.min(...load.calls.filter((call) => call.kind === kind && call.at >= since && call.end === "").map((call) => call.endedAt)),
      );
      return firsts.every(Number.isFinite) ? Math.max(...firsts) : undefined;
    };
    await until(() => answered(0), "an answer of each kind", PATIENCE_MS);
    const began = performance.now();

    const blows: Blow[] = [];
    const deck: How[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const end = performance.now() + 300 + random.next() * 1_200;
      await until(() => performance.now() > end, "the moment of a death", PATIENCE_MS);
      if (deck.length === 0) deck.push(...HOWS);
      const how = deck.splice(Math.floor(random.next() * deck.length), 1)[0] ?? "kill";
      const blow = await fleet.strike(how, pick);
      blows.push(blow);
      const well = await until(() => answered(blow.at), `an answer of each kind after the ${how} of ${blow.victim}`, PATIENCE_MS);
      const slowest = Math.max(
        ...load.calls
          .filter((call) => call.at >= blow.at - 1_000 && call.end === "" && call.kind !== "long")
          .map((call) => call.endedAt - call.at),
      );
      t.log(
        `seen: ${how} of ${blow.victim}: back after ${Math.round(blow.backAt - blow.at)} ms, each kind answered after ${Math.round(well - blow.at)} ms, slowest answer ${Math.round(slowest)} ms, calls ${JSON.stringify(load.tally(blow.at - 1_000))}`,
      );
    }
    await load.stop();
    t.log(`seen: ${load.calls.length} calls: ${JSON.stringify(load.tally())}`);
    const absences = absencesOf(fleet.seats, blows);
    for (const { why } of absences) t.log(`seen: ${why}`);
    const excuses = [...blows.map(excuseOf), ...absences];
    for (const line of load.silent(excuses)) t.log(`seen: ${line}`);
    t.deepEqual(load.wrong(excuses, began), []);

    // All are there again, and nothing waits.
    await until(
      async () => {
        const { hosts, silent, waiting } = await operator.bus.ask(showFleet, [], {});
        return hosts.length === 3 && silent.length === 0 && Object.keys(waiting).length === 0;
      },
      "three hosts in the fleet, and no call that waits",
      PATIENCE_MS,
    );
  },
);
