/**
 * The warm pool: of each configuration so many instances that are booted and nobody's (F021, F023). Refilled when one
 * leaves; what is too many is ended.
 */
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { PoolTarget } from "../../protocol/vocabulary.ts";
import type { Instance } from "./instance.ts";
import type { Instances } from "./instances.ts";

/** Targets that are set replace the defaults of the same configuration; the others stay. */
export function mergePools(defaults: readonly PoolTarget[], set: readonly PoolTarget[]): PoolTarget[] {
  const chosen = new Set(set.map((target) => keyOf(target.runtime, target.memoryMb)));
  return [...defaults.filter((target) => !chosen.has(keyOf(target.runtime, target.memoryMb))), ...set];
}

export class Pool {
  readonly #instances: Instances;
  #targets: readonly PoolTarget[];
  #open = true;

  constructor(instances: Instances, targets: readonly PoolTarget[]) {
    this.#instances = instances;
    this.#targets = targets;
  }

  get targets(): readonly PoolTarget[] {
    return this.#targets;
  }

  /** Other targets for some configurations; resolves when surplus warm instances are gone. */
  async set(changed: readonly PoolTarget[]): Promise<void> {
    const targets = mergePools(this.#targets, changed);
    this.#targets = targets;
    const surplus: Instance[] = [];
    const left = new Map(targets.map((target) => [keyOf(target.runtime, target.memoryMb), target.warm]));
    for (const instance of this.#unowned()) {
      const key = keyOf(instance.runtime, instance.memoryMb);
      const more = left.get(key) ?? 0;
      if (more > 0) left.set(key, more - 1);
      else surplus.push(instance);
    }
    await Promise.all(surplus.map((instance) => this.#instances.destroy(instance, "more are warm than the pool wants")));
    this.refill();
  }

  /** Boots what is missing, as far as the host's memory goes. */
  refill(): void {
    if (!this.#open) return;
    for (const { runtime, memoryMb, warm } of this.#targets) {
      let have = 0;
      for (const instance of this.#unowned()) if (instance.runtime === runtime && instance.memoryMb === memoryMb) have++;
      for (; have < warm && this.#instances.hasCapacity(0, true); have++) this.#instances.boot(runtime, memoryMb, false, null);
    }
  }

  /** Nothing is booted any more. */
  close(): void {
    this.#open = false;
  }

  /** Warm ones first: those still booting are the first to be too many. */
  #unowned(): Instance[] {
    const unowned = [...this.#instances.all()].filter(
      (instance) => instance.account === null && (instance.state === "warm" || instance.state === "booting"),
    );
    return unowned.sort((a, b) => Number(a.state === "booting") - Number(b.state === "booting"));
  }
}

function keyOf(runtime: RuntimeName, memoryMb: number): string {
  return `${runtime}@${memoryMb}`;
}
