/** What does a warm call cost when many instances are alive on its host? */
import { totalmem } from "node:os";
import { LIMITS } from "../protocol/limits.ts";
import { ratio, spread } from "./engine/figures.ts";
import { type Floor, startFloor } from "./engine/floor.ts";
import { ECHO } from "./engine/handlers.ts";
import { closedLoop, type Sample } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { pssMiB } from "./engine/processes.ts";
import { type Answer, type Effort, figure, type Question } from "./engine/question.ts";
import { type Sum, sumUp } from "./engine/sum.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const FEW = 10;
const MANY = 1_000;
const MANY_QUICK = 30;
/** What an idle box really takes, generously, in MB: a host is told of so much more memory that its own accounting, which is for working ones, lets them all in. */
const IDLE_BOX_MB = 16;
/** Of the machine's memory that may be in use. */
const SHARE = 0.8;
/** For the function that is measured. */
const ROOM_MB = 4_096;
/** Booting a thousand boxes on two cores takes about a minute. */
const BOOT_MS = 240_000;
const LOAD = { size: 1_024 };

export const instances: Question = {
  asks: "What does a warm call cost with 1,000 live instances on its host, beside 10?",
  async measure(effort): Promise<Answer> {
    const room = Math.floor((totalmem() * SHARE) / 1024 ** 2 / IDLE_BOX_MB);
    const many = Math.min(effort.quick ? MANY_QUICK : MANY, room);
    const memoryMb = many * LIMITS.boxMemory.value + ROOM_MB;
    const platform = await startPlatform({ warm: { node: FEW, python: 0 }, memoryMb });
    const sum = sumUp();
    let floor: Floor | undefined;
    try {
      floor = await startFloor(platform.context, platform.caller);
      await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { class: "busy", containers: 4 });
      await closedLoop(platform.calls(ACCOUNT, NAME), { ...LOAD, inFlight: 16, ms: 1_000 });
      await platform.untilFleet("a grant", (host) => host.grants.length > 0);
      await untilWarm(platform, FEW);
      const few = await normalised(platform, floor, effort, sum);
      const before = memoryOf(platform);
      effort.say(`instances: booting ${many}`);
      const began = performance.now();
      await platform.pool("node", many);
      await untilWarm(platform, many);
      const bootSeconds = (performance.now() - began) / 1_000;
      const lots = await normalised(platform, floor, effort, sum);
      const notes = [
        ...sum.notes(),
        "the two states cannot be interleaved, so each is first divided by the floor of its own round",
        `${many} instances of one idle box each stood after ${bootSeconds.toFixed(0)} s`,
      ];
      if (many < MANY && !effort.quick) notes.push(`this machine's memory holds no more than ${many}`);
      return {
        figures: [
          figure(`p50 with ${many} instances / with ${FEW}, 1 in flight`, "x", ratio(lots.p50, few.p50), "instances-p50"),
          figure(`p99 with ${many} instances / with ${FEW}, 1 in flight`, "x", ratio(lots.p99, few.p99)),
          figure(`throughput with ${many} instances / with ${FEW}, 64 in flight`, "x", ratio(lots.perSecond, few.perSecond)),
          figure("memory of one more instance (proportional)", "MiB", spread([(memoryOf(platform) - before) / (many - FEW)])),
        ],
        lost: sum.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes,
      };
    } finally {
      await floor?.stop();
      await platform.stop();
    }
  },
};

interface Normalised {
  readonly p50: number[];
  readonly p99: number[];
  readonly perSecond: number[];
}

/** Direct call over floor, per round. */
async function normalised(platform: Platform, floor: Floor, effort: Effort, sum: Sum): Promise<Normalised> {
  const found: Normalised = { p50: [], p99: [], perSecond: [] };
  const pair = async (inFlight: number): Promise<readonly [Sample, Sample]> => {
    const load = { ...LOAD, inFlight, ms: effort.ms };
    const bottom = sum.add(await closedLoop(floor.call, load));
    return [bottom, sum.add(await closedLoop(platform.calls(ACCOUNT, NAME), load))];
  };
  for (let round = 0; round < effort.rounds; round += 1) {
    const [bottom, call] = await pair(1);
    found.p50.push(call.p50 / bottom.p50);
    found.p99.push(call.p99 / bottom.p99);
    const [full, calls] = await pair(64);
    found.perSecond.push(calls.perSecond / full.perSecond);
  }
  return found;
}

const untilWarm = (platform: Platform, count: number): Promise<void> =>
  platform.untilFleet(
    `${count} warm instances`,
    (host) => host.instances.filter((instance) => instance.state === "warm").length >= count,
    BOOT_MS,
  );

const memoryOf = (platform: Platform): number => platform.pids().reduce((total, pid) => total + pssMiB(pid), 0);
