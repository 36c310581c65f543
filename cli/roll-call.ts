/** Who is there: every node announces itself twice a second, so listening for a moment finds all that live, also without a scheduler. */
import type { Connected } from "../nodes/io/nats.ts";
import { LIMITS } from "../protocol/limits.ts";
import { NODE_ROLES, type NodeRole } from "../protocol/subjects.ts";

export interface PresentNode {
  readonly id: string;
  readonly role: NodeRole;
  readonly epoch: string;
  /** `silent`: it announced itself and did not answer. */
  readonly state: "ready" | "cordoned" | "draining" | "silent";
  /** Classes whose manager a scheduler is. */
  readonly leads?: readonly string[];
  readonly ageMs?: number;
  readonly version?: string;
  readonly machine?: string;
  readonly pid?: number;
  /** Name and address of the broker's server that it is connected to. */
  readonly server?: string;
  readonly address?: string;
}

/** Longer than two nodes' heartbeats differ. */
const LISTEN_MS = LIMITS.nodeHeartbeat.value * 1.5;

/** All nodes, by role and id. */
export async function rollCall({ bus }: Connected): Promise<PresentNode[]> {
  const [{ hostAnnouncement, nodeAnnouncement }, { whoIs }] = await Promise.all([
    import("../protocol/messages/host.ts"),
    import("../protocol/messages/node.ts"),
  ]);
  const heard = new Map<string, PresentNode>();
  const subscriptions = NODE_ROLES.map((role) =>
    role === "host"
      ? bus.hear(hostAnnouncement, ["*"], ({ host: id, epoch, draining, cordoned }) => {
          heard.set(id, { id, role, epoch, state: cordoned === true ? "cordoned" : draining ? "draining" : "ready" });
        })
      : bus.hear(nodeAnnouncement, [role, "*"], ({ node: id, epoch, draining, leads }) => {
          heard.set(id, { id, role, epoch, state: draining ? "draining" : "ready", ...(leads !== undefined && { leads }) });
        }),
  );
  await new Promise((resolve) => setTimeout(resolve, LISTEN_MS));
  await Promise.all(subscriptions.map((subscription) => subscription.stop()));
  const nodes = await Promise.all(
    [...heard.values()].map(async (node): Promise<PresentNode> => {
      const who = await bus.ask(whoIs, [node.id], {}).catch(() => undefined);
      if (who === undefined) return { ...node, state: "silent" };
      const { ageMs, version, machine, pid, server, address } = who;
      return { ...node, ageMs, version, machine, pid, server, address };
    }),
  );
  const place = (node: PresentNode): number => NODE_ROLES.indexOf(node.role);
  return nodes.sort((a, b) => place(a) - place(b) || a.id.localeCompare(b.id));
}
