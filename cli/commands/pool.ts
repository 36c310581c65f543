/** `pilot pool`: how many instances are kept warm, and how many there are now (F021, F029). */
import { RUNTIME_NAMES, type RuntimeName } from "../../protocol/runtimes.ts";
import { command, noun } from "../command.ts";
import { Usage } from "../failure.ts";
import { argument, JSON_FLAG, text, value } from "../flags.ts";
import type { Host } from "../fleet.ts";
import { answer, table } from "../output.ts";
import { ask, connected, noteUnconfirmed } from "../platform.ts";
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

const keyOf = (one: { readonly runtime: string; readonly memoryMb: number }): string => `${one.runtime} ${one.memoryMb}`;

/** Every configuration with a target or with instances, per host. */
export function poolStates(hosts: readonly Host[]): PoolState[] {
  return hosts.flatMap((host) => {
    const found = new Map(host.pools.map((pool): [string, Target] => [keyOf(pool), pool]));
    for (const { runtime, memoryMb } of host.instances) {
      const key = keyOf({ runtime, memoryMb });
      if (!found.has(key)) found.set(key, { runtime, memoryMb, warm: 0 });
    }
    return [...found].map(([key, { runtime, memoryMb, warm }]) => {
      const mine = host.instances.filter((row) => keyOf(row) === key);
      const count = (state: string): number => mine.filter((row) => row.state === state).length;
      const states = { warm: count("warm"), active: count("active"), booting: count("booting"), draining: count("draining") };
      return { host: host.id, runtime, memoryMb, target: warm, ...states };
    });
  });
}

/** The targets that hosts follow: of each configuration the largest. */
export function targetsInForce(hosts: readonly Host[]): Target[] {
  const found = new Map<string, Target>();
  for (const pool of hosts.flatMap((host) => host.pools)) {
    if (pool.warm >= (found.get(keyOf(pool))?.warm ?? 0)) found.set(keyOf(pool), pool);
  }
  return [...found.values()];
}

const show = command({
  brief: "Show what is kept warm, and what is warm and active now",
  examples: ["pilot pool show", "pilot pool show --json"],
  flags: JSON_FLAG,
  args: [],
  action: async (cli, flags) => {
    const fleet = await ask(cli, flags, (all) => all.showFleet, {});
    const states = poolStates(fleet.hosts);
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
    await answer(cli, flags.json, { targets: targetsInForce(fleet.hosts), hosts: states, silent: fleet.silent }, () =>
      table(cli, ["HOST", "RUNTIME", "SIZE", "TARGET", "WARM", "ACTIVE", "BOOTING", "DRAINING"], rows, "no pools and no hosts"),
    );
  },
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
      const { setPool, showFleet } = await import("../contracts.ts");
      const inForce = targetsInForce((await platform.bus.ask(showFleet, [], {})).hosts);
      const unconfirmed = new Set<string>();
      for (const target of choose(inForce, which, flags.memory)) {
        const reply = await platform.bus.ask(setPool, [], { ...target, warm });
        for (const node of reply.unconfirmed) unconfirmed.add(node);
      }
      noteUnconfirmed(cli, [...unconfirmed]);
      const { hosts } = await platform.bus.ask(showFleet, [], {});
      const pools = targetsInForce(hosts);
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
