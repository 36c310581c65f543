/** A gateway says that it is there, as all nodes do. */
import { LIMITS } from "../../protocol/limits.ts";
import { nodeAnnouncement } from "../../protocol/messages/host.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Random } from "../kit/ports.ts";

export interface Presence {
  readonly epoch: string;
  /** Announces from now on that it takes nothing new. */
  drain(): void;
  stop(): void;
}

/** Announces now and every LIMITS.nodeHeartbeat. */
export function announceGateway({ control, clock, random }: { control: Bus; clock: Clock; random: Random }, node: string): Presence {
  const epoch = random.id(8);
  let draining = false;
  const announce = () => control.tell(nodeAnnouncement, ["gateway", node], { node, epoch, draining, protocol: PROTOCOL });
  const timer = clock.every(LIMITS.nodeHeartbeat.value, announce);
  announce();
  return {
    epoch,
    drain() {
      draining = true;
      announce();
    },
    stop: () => timer.cancel(),
  };
}
