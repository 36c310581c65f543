/**
 * Who falls silent while `pilot doctor` looks. A node that hangs keeps its connection, so that nothing ever comes back from it: its announcements
 * stop, and that is heard long before the time of any check is over.
 */
import { Members } from "../../actors/kit/members.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { hostAnnouncement, nodeAnnouncement } from "../../protocol/messages/host.ts";
import { systemClock } from "./clock.ts";
import type { Connected } from "./nats.ts";

export interface Presence {
  /** What `work` gives; or rejects with Fault Unavailable as soon as the node has been silent for LIMITS.hostSilence. A node that was never heard cannot fall silent. */
  while<T>(node: string, work: Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export function watchPresence({ bus }: Pick<Connected, "bus">): Presence {
  const lost = new Map<string, Fault>();
  const waiting = new Set<(node: string) => void>();
  const members = new Members(bus, systemClock, ({ id, draining }) => {
    // A new life tells that the old one is over before any silence does.
    const how = members.has(id)
      ? "was started anew while it was looked at"
      : `has been silent for ${LIMITS.hostSilence.value / 1_000} s: it ${draining ? "has left" : "hangs, is cut off, or has died"}`;
    lost.set(id, new Fault("Unavailable", how));
    for (const tell of waiting) tell(id);
  });
  const subscriptions = [
    bus.hear(hostAnnouncement, ["*"], ({ host: id, epoch, draining }) => void members.heard({ id, epoch, draining })),
    ...(["frontend", "scheduler"] as const).map((role) =>
      bus.hear(nodeAnnouncement, [role, "*"], ({ node: id, epoch, draining }) => void members.heard({ id, epoch, draining })),
    ),
  ];
  return {
    async while(node, work) {
      let tell = (_: string): void => undefined;
      const silent = new Promise<never>((_, reject) => {
        tell = (id) => {
          const fault = lost.get(node);
          if (id === node && fault !== undefined) reject(fault);
        };
      });
      waiting.add(tell);
      // It may have been lost in an earlier check, and still be.
      if (!members.has(node)) tell(node);
      try {
        return await Promise.race([work, silent]);
      } finally {
        waiting.delete(tell);
        // Nobody hears of the one that came second.
        work.catch(() => undefined);
      }
    },
    async close() {
      members.stop();
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    },
  };
}
