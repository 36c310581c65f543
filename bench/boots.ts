/** How many true cold starts per second, what they do to the agent meanwhile, and what an idle pooled instance weighs. */
import { bareNodeIdle } from "./engine/bare.ts";
import type { Child } from "./engine/child.ts";
import { ratio, spread } from "./engine/figures.ts";
import { freshName, PASSING, waitBody } from "./engine/fresh.ts";
import { waiting } from "./engine/handlers.ts";
import { pings } from "./engine/pings.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { pssMiB, treeOf } from "./engine/processes.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";

/** Instances booted at once in a round: as many as a host of this size has memory for. */
const AT_ONCE = 8;
const POOLED = 4;
const SETTLE_MS = 30_000;

export const boots: Question = {
  asks: "How many sandboxed node instances boot per second and core, what stalls meanwhile, and what does an idle one weigh?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform({ warm: { node: 0, python: 0 } });
    const figures: Figure[] = [];
    const lost = { count: 0 };
    try {
      const cores = (await platform.fleet()).hosts[0]?.cores ?? 1;
      const perCore: number[] = [];
      const stall: number[] = [];
      const quiet: number[] = [];
      for (let round = 0; round < effort.rounds; round += 1) {
        effort.say(`boots: round ${round + 1}`);
        quiet.push(await pings(platform, () => new Promise((resolve) => setTimeout(resolve, effort.ms))));
        const accounts = Array.from({ length: AT_ONCE }, () => freshName("account"));
        await Promise.all(
          accounts.map((account) => platform.deploy(account, "boot", { source: waiting("boot"), runtime: "node" }, PASSING)),
        );
        stall.push(
          await pings(platform, async () => {
            const began = performance.now();
            const replies = await Promise.all(
              accounts.map((account) => platform.traced(account, "boot", waitBody(0)).catch(() => undefined)),
            );
            lost.count += replies.filter((reply) => reply === undefined).length;
            const cold = replies.filter((reply) => reply?.rung === "cold").length;
            perCore.push(cold / ((performance.now() - began) / 1_000) / cores);
          }),
        );
        await Promise.all(accounts.map((account) => platform.remove(account, "boot")));
        await platform.untilFleet("the instances are gone", (host) => host.instances.length === 0, SETTLE_MS);
      }
      figures.push(
        figure("cold starts to first reply, per second and core", "/s", spread(perCore), "boots-per-core"),
        figure("agent's answer to a ping while booting, p99", "ms", spread(stall)),
        figure("agent's answer to a ping in quiet, p99", "ms", spread(quiet)),
        figure(
          "stall of the agent by booting: difference of the two",
          "ms",
          spread(stall.map((ms, round) => Math.max(0, ms - (quiet[round] ?? 0)))),
          "spawn-stall",
        ),
        ...(await memory(platform, effort)),
      );
      return {
        figures,
        lost: lost.count,
        doubled: platform.caller.doubled,
        broker: platform.broker,
        notes: [
          `${AT_ONCE} accounts at once, each with a function that nobody has seen; the pool is empty`,
          "the ping is a NATS request to the agent's control service every few ms: it includes what the machine's other processes take from the agent",
          "memory: proportional set size of all processes of the box; bare: as many idle node processes at the same time",
        ],
      };
    } finally {
      await platform.stop();
    }
  },
};

async function memory(platform: Platform, effort: Effort): Promise<Figure[]> {
  effort.say("boots: memory");
  await platform.pool("node", POOLED);
  await platform.untilFleet(`${POOLED} warm instances`, (host) => host.instances.filter(({ state }) => state === "warm").length === POOLED);
  const bare: Child[] = [];
  try {
    while (bare.length < POOLED) bare.push(await bareNodeIdle());
    const boxes = treeOf(platform.pidOf("host-1") ?? 0).slice(1);
    // The agent's own child is the spawner; what is below that is boxes.
    const spawner = boxes[0];
    const spares = (await platform.fleet()).hosts
      .flatMap(({ instances }) => instances)
      .reduce((sum, one) => sum + one.containers.length, 0);
    const inBoxes = boxes.filter(({ pid }) => pid !== spawner?.pid).reduce((sum, { pid }) => sum + pssMiB(pid), 0);
    const perBox = inBoxes / Math.max(1, spares);
    const perBare = bare.reduce((sum, { pid }) => sum + pssMiB(pid), 0) / bare.length;
    return [
      figure("memory of an idle pooled node box", "MiB", spread([perBox])),
      figure("memory of a bare idle node process", "MiB", spread([perBare])),
      figure("idle pooled node box / bare node process, memory", "x", ratio([perBox], [perBare]), "idle-memory"),
    ];
  } finally {
    for (const child of bare) await child.stop();
  }
}
