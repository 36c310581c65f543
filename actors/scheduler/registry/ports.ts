/** What the registry service needs from outside. */

import type { PoolTarget } from "../../../protocol/vocabulary.ts";
import type { Bus } from "../../kit/bus.ts";
import type { Bucket, Clock, Log } from "../../kit/ports.ts";
import type { Registry, RegistryBuckets } from "../../kit/registry.ts";

/** Ids of the nodes that are alive now, as this scheduler sees it; itself among the schedulers. */
export interface LiveNodes {
  readonly frontends: readonly string[];
  readonly schedulers: readonly string[];
  readonly hosts: readonly string[];
}

export interface RegistryPorts extends RegistryBuckets {
  /** The control connection. */
  readonly bus: Bus;
  /** All pool targets are one record, under POOLS_KEY. */
  readonly pools: Bucket<readonly PoolTarget[]>;
  /** The highest version number that a removed function had, under the function's key: its numbers are not given again. */
  readonly removed: Bucket<number>;
  /** The node's own picture, for lists. Every write of any scheduler reaches it before the writer's answer. */
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  /** True when the code of that digest is in the code store. */
  hasCode(digest: string): Promise<boolean>;
  live(): LiveNodes;
}

/** The one key of the bucket of pools. */
export const POOLS_KEY = "targets";
