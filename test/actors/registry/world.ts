/** Schedulers that serve the registry, and frontends and hosts that are told, over the test doubles. */

import { openRegistry, type Registry } from "../../../actors/kit/registry.ts";
import { serveRegistry } from "../../../actors/scheduler/registry/serve.ts";
import { encode } from "../../../protocol/codec.ts";
import { deployFunction } from "../../../protocol/messages/registry.ts";
import { syncNode } from "../../../protocol/messages/sync.ts";
import type { AccountRecord, FunctionRecord, PoolTarget, VersionRecord } from "../../../protocol/vocabulary.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBroker, type Packet } from "../../support/memory-broker.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";
import { MemoryBus } from "../../support/memory-bus.ts";
import { recordLog } from "../../support/record-log.ts";

export interface Node {
  readonly bus: MemoryBus;
  readonly registry: Registry;
  /** Sync messages that this node answered. */
  readonly synced: unknown[];
}

export const DIGEST = "a".repeat(64);
/** The digest whose code is not in the store. */
export const MISSING = "b".repeat(64);

/** A deploy with everything that must be said. */
export const order = (name = "f", more: Partial<ReturnType<typeof deployFunction.request.parse>> = {}) => ({
  account: "main",
  name,
  runtime: "node" as const,
  handler: "handler",
  digest: DIGEST,
  bytes: 10,
  hasMap: false,
  ...more,
});

export async function world(size: { schedulers?: number; frontends?: number; hosts?: number } = {}) {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  const log = recordLog();
  const buckets = {
    functions: new MemoryBucket<FunctionRecord>(),
    versions: new MemoryBucket<VersionRecord>(),
    accounts: new MemoryBucket<AccountRecord>(),
    pools: new MemoryBucket<readonly PoolTarget[]>(),
    removed: new MemoryBucket<number>(),
  };
  const names = (role: string, count: number) => Array.from({ length: count }, (_, at) => `${role}-${at}`);
  const live = {
    frontends: names("frontend", size.frontends ?? 2),
    schedulers: names("scheduler", size.schedulers ?? 2),
    hosts: names("host", size.hosts ?? 2),
  };
  const traffic: Packet[] = [];
  broker.tap((packet) => traffic.push(packet));

  const join = async (name: string): Promise<Node> => {
    const bus = new MemoryBus(broker, name);
    const registry = await openRegistry(buckets, clock, log);
    const synced: unknown[] = [];
    bus.serve(syncNode, [name], (change) => {
      registry.sync(change);
      synced.push(change);
      return {};
    });
    return { bus, registry, synced };
  };
  const all = [...live.frontends, ...live.schedulers, ...live.hosts];
  const nodes = new Map(await Promise.all(all.map(async (name) => [name, await join(name)] as const)));
  const node = (name: string): Node => {
    const found = nodes.get(name);
    if (!found) throw new RangeError(name);
    return found;
  };
  const services = live.schedulers.map((name) => {
    const { bus, registry } = node(name);
    const hasCode = (digest: string) => Promise.resolve(digest !== MISSING);
    return serveRegistry({ ...buckets, bus, registry, clock, log, hasCode, live: () => live });
  });
  const operator = new MemoryBus(broker, "operator");
  return {
    clock,
    broker,
    log,
    buckets,
    live,
    traffic,
    node,
    join,
    services,
    operator,
    deploy: (name?: string, more?: Parameters<typeof order>[1]) => operator.ask(deployFunction, [], order(name, more)),
    /** Bytes as anybody could send them. */
    raw: (subject: string, body: unknown) => operator.send(subject, encode(body)),
  };
}

/** The name of the Fault that a promise ends in; "nothing" when it ends well. */
export const faultOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "nothing",
    (thrown: { name?: string }) => thrown.name ?? "?",
  );
