/** How many instances of each configuration every host keeps warm. */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { PoolTarget } from "../../../protocol/vocabulary.ts";
import { confirm } from "./confirm.ts";
import { POOLS_KEY, type RegistryPorts } from "./ports.ts";
import { change } from "./write.ts";

/** Read from the leader; configurations that nobody has set are not in it. */
export async function listPools(ports: RegistryPorts): Promise<{ readonly pools: readonly PoolTarget[] }> {
  return { pools: (await ports.pools.get(POOLS_KEY))?.value ?? [] };
}

/**
 * Sets one configuration and tells every host and scheduler. A target of 0 stays in the list: it overrides what a host keeps warm of
 * itself. Faults: BadRequest when there are LIMITS.poolTargets configurations already, Conflict.
 */
export async function setPool(
  ports: RegistryPorts,
  target: PoolTarget,
): Promise<{ readonly pools: readonly PoolTarget[]; readonly unconfirmed: string[] }> {
  const { value: pools } = await change(ports.pools, POOLS_KEY, (now = []) => {
    const others = now.filter((pool) => pool.runtime !== target.runtime || pool.memoryMb !== target.memoryMb);
    if (others.length >= LIMITS.poolTargets.value)
      throw new Fault("BadRequest", `${LIMITS.poolTargets.value} configurations have a warm number already`);
    return [...others, target].sort((a, b) => a.runtime.localeCompare(b.runtime) || a.memoryMb - b.memoryMb);
  });
  return { pools, unconfirmed: await confirm(ports, { pools }) };
}
