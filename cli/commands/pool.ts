/** `pilot pool`: how many instances are kept warm, and how many there are now (F021, F029). */
import { LIMITS } from "../../protocol/limits.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../../protocol/runtimes.ts";
import { command, noun } from "../command.ts";
import { Usage } from "../failure.ts";
import { argument, JSON_FLAG, text, value } from "../flags.ts";
import type { Host } from "../fleet.ts";
import { answer, table } from "../output.ts";
import { connected, noteUnconfirmed } from "../platform.ts";
import { integer, memory, runtime } from "../values.ts";
import { noteSilent } from "./fleet.ts";

interface Target {
  readonly runtime: RuntimeName;
  readonly memoryMb: number;
  readonly warm: number;
}

/** One configuration on one host: what is wanted, and what is warm, active and neither. */
export interface PoolState {
  readonly host: string;
  readonly runtime: string;
  readonly memoryMb: number;
  readonly target: number;
  readonly warm: number;
  readonly active: number;
  readonly booting: number;
  readonly draining: number;
}

/** Every configuration with a target or with instances, per host. */
export function poolStates(pools: readonly Target[], hosts: readonly Host[]): PoolState[] {
  return hosts.flatMap((host) => {
    const keys = new Map<string, { runtime: string; memoryMb: number; target: number }>();
    for (const pool of pools)
      keys.set(`${pool.runtime} ${pool.memoryMb}`, { runtime: pool.runtime, memoryMb: pool.memoryMb, target: pool.warm });
    for (const row of host.instances) {
      const key = `${row.runtime} ${row.memoryMb}`;
      if (!keys.has(key)) keys.set(key, { runtime: row.runtime, memoryMb: row.memoryMb, target: 0 });
    }
    return [...keys.values()].map((pool) => {
      const mine = host.instances.filter((row) => row.runtime === pool.runtime && row.memoryMb === pool.memoryMb);
      const count = (state: string): number => mine.filter((row) => row.state === state).length;
      return {
        host: host.id,
        ...pool,
        warm: count("warm"),
        active: count("active"),
        booting: count("booting"),
        draining: count("draining"),
      };
    });
  });
}

const show = command({
  brief: "Show what is kept warm, and what is warm and active now",
  examples: ["pilot pool show", "pilot pool show --json"],
  flags: JSON_FLAG,
  args: [],
  action: (cli, flags) =>
    connected(cli, flags, async (platform) => {
      const { listPools, showFleet } = await import("../contracts.ts");
      const [{ pools }, fleet] = await Promise.all([platform.bus.ask(listPools, [], {}), platform.bus.ask(showFleet, [], {})]);
      const states = poolStates(pools, fleet.hosts);
      noteSilent(cli, fleet.silent);
      const rows = states.map((row) => [
        row.host,
        row.runtime,
        `${row.memoryMb} MB`,
        row.target,
        row.warm,
        row.active,
        row.booting,
        row.draining,
      ]);
      await answer(cli, flags.json, { targets: pools, hosts: states, silent: fleet.silent }, () =>
        table(cli, ["HOST", "RUNTIME", "SIZE", "TARGET", "WARM", "ACTIVE", "BOOTING", "DRAINING"], rows, "no pools and no hosts"),
      );
    }),
});

const count = integer(0, 1_000);

const set = command({
  brief: "Set how many instances of a configuration every host keeps warm",
  details: "With `warm` in place of a runtime, all configurations are set.",
  examples: ["pilot pool set node 4", "pilot pool set python 2 --memory 256", "pilot pool set warm 0"],
  flags: { memory: value(memory, "MB", "size of the instances; default: the one that is configured"), ...JSON_FLAG },
  args: [
    argument(runtimeOrAll, `${RUNTIME_NAMES.join("|")}|warm`, "runtime, or warm for all configurations"),
    argument(count, "N", "instances per host; 0 keeps none"),
  ],
  action: (cli, flags, which, warm) =>
    connected(cli, flags, async (platform) => {
      const { listPools, setPool } = await import("../contracts.ts");
      const before = (await platform.bus.ask(listPools, [], {})).pools;
      const chosen = targets(before, which, flags.memory);
      const unconfirmed = new Set<string>();
      for (const target of chosen) {
        const reply = await platform.bus.ask(setPool, [], { ...target, warm });
        for (const node of reply.unconfirmed) unconfirmed.add(node);
      }
      noteUnconfirmed(cli, [...unconfirmed]);
      const { pools } = await platform.bus.ask(listPools, [], {});
      await answer(cli, flags.json, pools, () =>
        table(
          cli,
          ["RUNTIME", "SIZE", "WARM"],
          pools.map((row) => [row.runtime, `${row.memoryMb} MB`, row.warm]),
          "no pools",
        ),
      );
    }),
});

/** The configurations that the words mean; without a size, those of the runtime that exist. */
export function targets(
  pools: readonly Target[],
  which: RuntimeName | "warm",
  memoryMb: number | undefined,
): { runtime: RuntimeName; memoryMb: number }[] {
  const named = pools.filter(
    (pool) => (which === "warm" || pool.runtime === which) && (memoryMb === undefined || pool.memoryMb === memoryMb),
  );
  if (named.length > 0) return named.map((pool) => ({ runtime: pool.runtime, memoryMb: pool.memoryMb }));
  if (which === "warm") {
    if (memoryMb === undefined) throw new Usage("there are no pools; name a runtime");
    throw new Usage(`no configuration has ${memoryMb} MB; name a runtime to add one`);
  }
  return [{ runtime: which, memoryMb: memoryMb ?? LIMITS.memoryDefault.value }];
}

function runtimeOrAll(input: string): RuntimeName | "warm" {
  return input === "warm" || input === "all" ? "warm" : runtime(text(input));
}

export const pool = noun(
  "Instances that are kept warm",
  ["pilot pool show", "pilot pool set node 4", "pilot pool set warm 0"],
  { show, set },
  { ls: "show" },
);
