/** What does a call cost when many functions are registered? */
import { bundleSource } from "../nodes/io/bundle/index.ts";
import { ratio, spread } from "./engine/figures.ts";
import { type Floor, startFloor } from "./engine/floor.ts";
import { ECHO } from "./engine/handlers.ts";
import { closedLoop, type Sample } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";
import { sumUp } from "./engine/sum.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const FEW = 10;
const MANY = 10_000;
const MANY_QUICK = 500;
const LANES = 16;
const SIZE = 1_024;

export const scale: Question = {
  asks: "What does a warm call cost with 10,000 registered functions, beside 10?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform();
    const sum = sumUp();
    let floor: Floor | undefined;
    const many = effort.quick ? MANY_QUICK : MANY;
    try {
      floor = await startFloor(platform.context, platform.caller);
      await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { class: "busy", containers: 4 });
      await closedLoop(platform.calls(ACCOUNT, NAME), { inFlight: 16, size: SIZE, ms: 1_000 });
      await platform.untilFleet("a grant", (host) => host.grants.length > 0);
      await register(platform, 0, FEW);
      const few = await normalised(platform, floor, effort, (sample) => sum.add(sample));
      effort.say(`scale: registering ${many} functions`);
      const began = performance.now();
      await register(platform, FEW, many);
      const perDeploy = (performance.now() - began) / (many - FEW);
      const lots = await normalised(platform, floor, effort, (sample) => sum.add(sample));
      const figures: Figure[] = [];
      for (const inFlight of [1, 64]) {
        const [small, large] = [few.get(inFlight), lots.get(inFlight)];
        if (small === undefined || large === undefined) continue;
        figures.push(
          figure(
            `p50 with ${many} / with ${FEW}, ${inFlight} in flight`,
            "x",
            ratio(large.p50, small.p50),
            inFlight === 1 ? "functions-p50" : undefined,
          ),
          figure(
            `throughput with ${many} / with ${FEW}, ${inFlight} in flight`,
            "x",
            ratio(large.perSecond, small.perSecond),
            inFlight === 64 ? "functions-throughput" : undefined,
          ),
        );
      }
      figures.push(figure(`one deploy of known code, ${LANES} at a time`, "ms", spread([perDeploy])));
      return {
        figures,
        lost: sum.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes: [...sum.notes(), "the two states cannot be interleaved, so each is first divided by the floor of its own round"],
      };
    } finally {
      await floor?.stop();
      await platform.stop();
    }
  },
};

interface Normalised {
  readonly p50: number[];
  readonly perSecond: number[];
}

/** By calls in flight: direct call over floor, per round. */
async function normalised(
  platform: Platform,
  floor: Floor,
  effort: Effort,
  add: (sample: Sample) => Sample,
): Promise<Map<number, Normalised>> {
  const found = new Map<number, Normalised>();
  for (const inFlight of [1, 64]) {
    const one: Normalised = { p50: [], perSecond: [] };
    for (let round = 0; round < effort.rounds; round += 1) {
      const load = { inFlight, size: SIZE, ms: effort.ms };
      const bottom = add(await closedLoop(floor.call, load));
      const call = add(await closedLoop(platform.calls(ACCOUNT, NAME), load));
      one.p50.push(call.p50 / bottom.p50);
      one.perSecond.push(call.perSecond / bottom.perSecond);
    }
    found.set(inFlight, one);
  }
  return found;
}

/** Functions of the same code, from number `from` to `to`. */
async function register(platform: Platform, from: number, to: number): Promise<void> {
  const bundle = await bundleSource(ECHO, "node");
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) await platform.deploy(`many-${next % 100}`, `idle-${next++}`, bundle);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}
