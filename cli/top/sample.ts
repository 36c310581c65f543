/** One look at the whole cluster: what hosts have, and every node's cumulative metrics. */
import type { Connected } from "../../nodes/io/nats.ts";
import type { showFleet } from "../../protocol/messages/fleet.ts";
import type { fleetMetrics } from "../../protocol/messages/metrics.ts";

export interface Sample {
  /** Ms by a clock that never jumps. */
  readonly at: number;
  readonly fleet: ReturnType<typeof showFleet.reply.parse>;
  readonly metrics: ReturnType<typeof fleetMetrics.reply.parse>;
}

/** Rejects with Fault Unavailable when no scheduler answers. */
export async function takeSample({ bus }: Connected): Promise<Sample> {
  const contracts = await import("../contracts.ts");
  const [fleet, metrics] = await Promise.all([bus.ask(contracts.showFleet, [], {}), bus.ask(contracts.fleetMetrics, [], {})]);
  return { at: performance.now(), fleet, metrics };
}
