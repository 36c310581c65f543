/** What does a storm of cold starts do to calls that run warm beside it? */
import { ratio, spread } from "./engine/figures.ts";
import { freshName, PASSING, waitBody } from "./engine/fresh.ts";
import { ECHO, waiting } from "./engine/handlers.ts";
import { closedLoop } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { type Answer, figure, type Question } from "./engine/question.ts";
import { interleave } from "./engine/rounds.ts";
import { sumUp } from "./engine/sum.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const LOAD = { inFlight: 16, size: 1_024 };
/** Cold calls under way at a time. */
const LANES = 4;

export const storm: Question = {
  asks: "What is the p99 of warm calls (16 in flight) during a storm of cold starts, beside that without?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform({ warm: { node: 1, python: 0 } });
    const sum = sumUp();
    const seen = { cold: 0, lost: 0 };
    try {
      await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { class: "busy", containers: 4 });
      const call = platform.calls(ACCOUNT, NAME);
      await closedLoop(call, { ...LOAD, ms: 1_000 });
      await platform.untilFleet("a grant", (host) => host.grants.length > 0);
      await platform.pool("node", 0);
      const results = await interleave(
        [
          { name: "quiet", measure: async (ms: number) => sum.add(await closedLoop(call, { ...LOAD, ms })) },
          {
            name: "storm",
            async measure(ms: number) {
              effort.say("storm: cold starts beside");
              return during(platform, seen, async () => sum.add(await closedLoop(call, { ...LOAD, ms: ms * 2 })));
            },
          },
        ],
        effort,
      );
      const of = (name: string, key: "p50" | "p99" | "perSecond"): number[] => (results.get(name) ?? []).map((sample) => sample[key]);
      return {
        figures: [
          figure("warm p99, storm / quiet", "x", ratio(of("storm", "p99"), of("quiet", "p99")), "storm-p99"),
          figure("warm p50, storm / quiet", "x", ratio(of("storm", "p50"), of("quiet", "p50"))),
          figure("warm throughput, storm / quiet", "x", ratio(of("storm", "perSecond"), of("quiet", "perSecond"))),
          figure("warm p99, quiet", "ms", spread(of("quiet", "p99"))),
          figure("warm p99, storm", "ms", spread(of("storm", "p99"))),
        ],
        lost: sum.lost + seen.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes: [...sum.notes(), `${seen.cold} cold starts in all, ${LANES} under way at a time`],
      };
    } finally {
      await platform.stop();
    }
  },
};

/** Keeps cold starts coming while `use` runs. */
async function during<T>(platform: Platform, seen: { cold: number; lost: number }, use: () => Promise<T>): Promise<T> {
  let over = false;
  const lane = async (): Promise<void> => {
    while (!over) {
      const account = freshName("storm");
      await platform.deploy(account, "cold", { source: waiting("storm"), runtime: "node" }, PASSING);
      const reply = await platform.traced(account, "cold", waitBody(0)).catch(() => undefined);
      if (reply === undefined) seen.lost += 1;
      else if (reply.rung === "cold") seen.cold += 1;
      await platform.remove(account, "cold");
    }
  };
  const lanes = Array.from({ length: LANES }, lane);
  try {
    return await use();
  } finally {
    over = true;
    await Promise.all(lanes);
  }
}
