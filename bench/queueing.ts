/** How long does a call stay when eight slots are 70, 80 and 90 % busy? Open loop, from the intended arrival, as multiples of the service time. */
import { spread } from "./engine/figures.ts";
import { TEN_MS } from "./engine/handlers.ts";
import { closedLoop, openLoop } from "./engine/load.ts";
import { startPlatform } from "./engine/platform.ts";
import { type Answer, type Figure, figure, type Question } from "./engine/question.ts";
import { interleave } from "./engine/rounds.ts";
import { sumUp } from "./engine/sum.ts";
import type { TargetName } from "./engine/targets.ts";

const ACCOUNT = "bench";
const NAME = "ten-ms";
const SLOTS = 8;
const LOADS: readonly (readonly [number, TargetName])[] = [
  [0.7, "queue-70"],
  [0.8, "queue-80"],
  [0.9, "queue-90"],
];
/** A queue needs time to fill: rounds are this many times longer than elsewhere. */
const LONGER = 5;
const SIZE = 64;

export const queueing: Question = {
  asks: "How long does a call stay (p99, in service times) at 8 slots of 10 ms that are 70, 80 and 90 % busy?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform();
    const sum = sumUp();
    try {
      await platform.deploy(ACCOUNT, NAME, { source: TEN_MS, runtime: "node" }, { class: "busy", containers: SLOTS, memoryMb: 64 });
      await platform.preload(ACCOUNT, NAME, SLOTS);
      const call = platform.calls(ACCOUNT, NAME);
      sum.add(await closedLoop(call, { inFlight: SLOTS * 4, size: SIZE, ms: 2_000 }));
      await platform.untilFleet(`${SLOTS} containers and a grant`, (host) => host.grants.length > 0 && countOf(host) >= SLOTS);
      // What a call takes when nobody waits: the service time as this machine gives it, timers and hops included.
      const alone = sum.add(await closedLoop(call, { inFlight: 1, size: SIZE, ms: effort.quick ? 500 : 2_000 }));
      const service = alone.p50;
      const subjects = LOADS.map(([load]) => ({
        name: String(load),
        measure: async (ms: number) => {
          effort.say(`queueing: ${load * 100} %`);
          return sum.add(await openLoop(call, { perSecond: (load * SLOTS * 1_000) / service, size: SIZE, ms: ms * LONGER }));
        },
      }));
      const results = await interleave(subjects, { rounds: effort.rounds, ms: effort.ms });
      const figures: Figure[] = [figure("call with nobody waiting, p50", "ms", spread([service]))];
      for (const [load, target] of LOADS) {
        const samples = results.get(String(load)) ?? [];
        const label = `${load * 100} % of 8 slots`;
        figures.push(
          figure(`p99 / service time, ${label}`, "x", spread(samples.map(({ p99 }) => p99 / service)), target),
          figure(`p50 / service time, ${label}`, "x", spread(samples.map(({ p50 }) => p50 / service))),
          figure(`calls per second, ${label}`, "/s", spread(samples.map(({ perSecond }) => perSecond))),
        );
      }
      return {
        figures,
        lost: sum.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes: [...sum.notes(), `each measurement is ${LONGER} times as long as elsewhere; arrivals are Poisson`],
      };
    } finally {
      await platform.stop();
    }
  },
};

interface Counted {
  readonly instances: readonly { readonly containers: readonly { readonly function?: string }[] }[];
}

const countOf = (host: Counted): number =>
  host.instances.reduce((sum, { containers }) => sum + containers.filter((one) => one.function === NAME).length, 0);
