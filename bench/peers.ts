/** How does a warm call stand beside others that run code on request: moleculer, workerd, gearmand, functions-framework? */
import { join } from "node:path";
import { resolveConnection } from "../nodes/io/context.ts";
import { Fault } from "../protocol/errors.ts";
import { ratio, spread } from "./engine/figures.ts";
import { ECHO } from "./engine/handlers.ts";
import { type Call, closedLoop } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { type Answer, type Figure, figure, type Question } from "./engine/question.ts";
import { projectRoot } from "./engine/root.ts";
import { interleave } from "./engine/rounds.ts";
import { sumUp } from "./engine/sum.ts";
import { TARGETS, type TargetName } from "./engine/targets.ts";
import { PEERS, type Peer } from "./peers/index.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const OURS = "pilotlight";
const SIZE = 1_024;

export const peers: Question = {
  asks: "How does a warm call stand beside moleculer, workerd, gearmand and functions-framework, echoing 1 KiB in the same run?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform();
    const sum = sumUp();
    const notes: string[] = [];
    const started = new Map<string, Peer>();
    try {
      const settings = await resolveConnection({ context: platform.context }, {});
      for (const [name, start] of Object.entries(PEERS)) {
        effort.say(`peers: starting ${name}`);
        try {
          started.set(name, await start(join(projectRoot(), "bench", "peers", name), settings));
        } catch (thrown) {
          notes.push(`${name} was left out: ${Fault.from(thrown).message}`);
        }
      }
      await grant(platform);
      const calls = new Map<string, Call>([
        [OURS, platform.calls(ACCOUNT, NAME)],
        ...[...started].map(([name, { call }]) => [name, call] as const),
      ]);
      const figures: Figure[] = [];
      for (const inFlight of [1, 64]) {
        effort.say(`peers: ${inFlight} in flight`);
        for (const call of calls.values()) sum.add(await closedLoop(call, { inFlight, size: SIZE, ms: effort.ms / 2 }));
        const subjects = [...calls].map(([name, call]) => ({
          name,
          measure: async (ms: number) => sum.add(await closedLoop(call, { inFlight, size: SIZE, ms })),
        }));
        const results = await interleave(subjects, effort);
        const of = (name: string, key: "p50" | "perSecond"): number[] => (results.get(name) ?? []).map((sample) => sample[key]);
        for (const name of calls.keys()) {
          figures.push(
            figure(`${name} p50, ${inFlight} in flight`, "ms", spread(of(name, "p50"))),
            figure(`${name} throughput, ${inFlight} in flight`, "/s", spread(of(name, "perSecond"))),
          );
          if (name === OURS) continue;
          figures.push(
            figure(
              `our p50 / ${name}'s, ${inFlight} in flight`,
              "x",
              ratio(of(OURS, "p50"), of(name, "p50")),
              inFlight === 1 ? target(`${name}-p50`) : undefined,
            ),
            figure(
              `our throughput / ${name}'s, ${inFlight} in flight`,
              "x",
              ratio(of(OURS, "perSecond"), of(name, "perSecond")),
              inFlight === 64 ? target(`${name}-throughput`) : undefined,
            ),
          );
        }
      }
      return {
        figures,
        lost: sum.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes: [
          ...notes,
          ...sum.notes(),
          "lost and doubled count the peers' calls too; only ours run in a sandbox and in a process of their own",
        ],
      };
    } finally {
      for (const peer of started.values()) await peer.stop();
      await platform.stop();
    }
  },
};

async function grant(platform: Platform): Promise<void> {
  await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { class: "busy", containers: 4 });
  await closedLoop(platform.calls(ACCOUNT, NAME), { inFlight: 16, size: SIZE, ms: 500 });
  await platform.untilFleet("a grant", (host) => host.grants.length > 0);
}

const target = (name: string): TargetName | undefined => (name in TARGETS ? (name as TargetName) : undefined);
