/** `pilot pool`: how many instances are kept warm, and how many there are now (F021, F029). */
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
    const keys = new Map<string, Target>();
    for (const pool of targetsOf(pools, host)) keys.set(`${pool.runtime} ${pool.memoryMb}`, pool);
    for (const { runtime, memoryMb } of host.instances) {
      const key = `${runtime} ${memoryMb}`;
      if (!keys.has(key)) keys.set(key, { runtime, memoryMb, warm: 0 });
    }
    return [...keys.values()].map(({ runtime, memoryMb, warm }) => {
      const mine = host.instances.filter((row) => row.runtime === runtime && row.memoryMb === memoryMb);
      const count = (state: string): number => mine.filter((row) => row.state === state).length;
      const states = { warm: count("warm"), active: count("active"), booting: count("booting"), draining: count("draining") };
      return { host: host.id, runtime, memoryMb, target: warm, ...states };
    });
  });
}

/** The operator's targets; while there are none, a host follows its own. */
function targetsOf(pools: readonly Target[], host: Host): readonly Target[] {
  return pools.length > 0 ? pools : (host.pools ?? unowned(host));
}

/** What a host that does not tell its targets seems to follow: the instances that belong to nobody. */
function unowned(host: Host): Target[] {
  const found = new Map<string, Target>();
  for (const { runtime, memoryMb, account } of host.instances) {
    if (account !== null) continue;
    const key = `${runtime} ${memoryMb}`;
    found.set(key, { runtime, memoryMb, warm: (found.get(key)?.warm ?? 0) + 1 });
  }
  return [...found.values()];
}

/** The targets in force over all hosts: of each configuration the largest. */
export function targetsInForce(pools: readonly Target[], hosts: readonly Host[]): Target[] {
  const found = new Map<string, Target>();
  for (const target of pools.length > 0 ? pools : hosts.flatMap((host) => targetsOf(pools, host))) {
    const key = `${target.runtime} ${target.memoryMb}`;
    if (target.warm >= (found.get(key)?.warm ?? 0)) found.set(key, target);
  }
  return [...found.values()];
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
      const { listPools, setPool, showFleet } = await import("../contracts.ts");
      const before = (await platform.bus.ask(listPools, [], {})).pools;
      const inForce = before.length > 0 ? before : targetsInForce([], (await platform.bus.ask(showFleet, [], {})).hosts);
      const chosen = choose(inForce, which, flags.memory).map((one) => ({ ...one, warm }));
      const isChosen = (pool: Target): boolean => chosen.some((one) => one.runtime === pool.runtime && one.memoryMb === pool.memoryMb);
      // The first target that is set takes the place of all defaults: those that are not meant are set to what they were.
      const kept = before.length > 0 ? [] : inForce.filter((pool) => !isChosen(pool));
      const unconfirmed = new Set<string>();
      for (const target of [...kept, ...chosen]) {
        const reply = await platform.bus.ask(setPool, [], target);
        for (const node of reply.unconfirmed) unconfirmed.add(node);
      }
      noteUnconfirmed(cli, [...unconfirmed]);
      const { pools } = await platform.bus.ask(listPools, [], {});
      const rows = pools.map((row) => [row.runtime, `${row.memoryMb} MB`, row.warm]);
      await answer(cli, flags.json, pools, () => table(cli, ["RUNTIME", "SIZE", "WARM"], rows, "no pools"));
    }),
});

/** The configurations that the words mean; without a size, those of the runtime that exist. */
export function choose(pools: readonly Target[], which: RuntimeName | "warm", memoryMb: number | undefined): Omit<Target, "warm">[] {
  const named = pools.filter(
    (pool) => (which === "warm" || pool.runtime === which) && (memoryMb === undefined || pool.memoryMb === memoryMb),
  );
  if (named.length > 0) return named.map((pool) => ({ runtime: pool.runtime, memoryMb: pool.memoryMb }));
  if (which === "warm")
    throw new Usage(
      memoryMb === undefined ? "there are no pools; name a runtime" : `no configuration has ${memoryMb} MB; name a runtime to add one`,
    );
  // A runtime without a configuration gets the size that the others have.
  const size = memoryMb ?? Math.max(0, ...pools.map((pool) => pool.memoryMb));
  if (size === 0) throw new Usage(`there is no configuration of ${which} yet; say its size with --memory MB`);
  return [{ runtime: which, memoryMb: size }];
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
