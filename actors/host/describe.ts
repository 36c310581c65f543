/** Everything a host knows of itself, for `describe` and the operators' commands. */

import type { Isolation } from "../instance/sandbox.ts";
import type { CodeCache } from "./code.ts";
import type { Container } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { Desk } from "./desk.ts";
import type { Functions } from "./functions.ts";
import type { Instances } from "./instances.ts";
import type { Pool } from "./pool.ts";
import type { HostDescription } from "./ports.ts";

export interface Described {
  readonly host: string;
  readonly epoch: string;
  readonly memoryMb: number;
  readonly cores: number;
  readonly draining: boolean;
  readonly cordoned: boolean;
  /** Monotonic. */
  readonly now: number;
  readonly isolation: Isolation;
  readonly instances: Instances;
  readonly pool: Pool;
  readonly code: CodeCache;
  readonly desk: Desk;
  readonly functions: Functions;
  readonly counters: Counters;
}

export function describe(of: Described): HostDescription {
  const { instances, now } = of;
  return {
    id: of.host,
    epoch: of.epoch,
    memoryMb: of.memoryMb,
    usedMb: instances.usedMb,
    cores: of.cores,
    draining: of.draining,
    ...(of.cordoned && { cordoned: true }),
    isolation: { ...of.isolation, gaps: [...of.isolation.gaps] },
    runtimes: { ...instances.runtimes },
    instances: [...instances.all()].map((instance) => ({
      id: instance.id,
      host: of.host,
      runtime: instance.runtime,
      runtimeVersion: instance.runtimeVersion,
      memoryMb: instance.memoryMb,
      usedMb: instance.usedMb,
      state: instance.state === "gone" ? "draining" : instance.state,
      account: instance.account,
      ...(instance.class !== undefined && { class: instance.class }),
      network: instance.network,
      containers: [...instance.containers].map((container) => containerOf(container, now)),
      code: [...instance.code],
    })),
    pools: of.pool.targets.map((target) => ({ ...target })),
    cache: of.code.list().map(({ digest, size, held }) => ({ digest, bytes: size, uses: held })),
    downloads: of.code.counts().downloads,
    grants: [...of.desk.grants()].map(({ grant, expiresAt }) => ({
      account: grant.account,
      function: grant.function,
      version: grant.version,
      subscriptions: grant.subscriptions,
      expiresInMs: Math.max(0, expiresAt - now),
    })),
    functions: [...of.functions.all()].map((stats) => ({
      account: stats.account,
      function: stats.function,
      version: stats.version,
      calls: stats.calls,
      direct: stats.direct,
      failures: { ...stats.failures },
      rungs: { ...stats.rungs },
      runMs: stats.percentiles(),
    })),
    counters: of.counters.toRecord(),
  };
}

function containerOf(container: Container, now: number): HostDescription["instances"][number]["containers"][number] {
  const { slot, state, instance } = container;
  const shown = state === "ended" ? "busy" : state;
  if (!slot) return { id: container.id, state: shown };
  return {
    id: container.id,
    state: shown,
    account: slot.account,
    function: slot.function,
    version: slot.version,
    memoryMb: slot.memoryMb,
    cpu: slot.memoryMb / instance.memoryMb,
    calls: container.calls,
    ...(state === "idle" && { idleMs: now - container.idleSince }),
  };
}
