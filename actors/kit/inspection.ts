/** What every role tells of itself to operators; its process adds who it is and what it costs. */
import type { Static } from "typebox";
import type { NodeInspection, ProcessSchema } from "../../protocol/messages/inspect.ts";
import type { Series } from "../../protocol/messages/metrics.ts";
import type { ActorView } from "./transitions.ts";

export interface Inspection {
  /** New at each start of the node. */
  readonly epoch: string;
  /** All its machines; the living first. */
  readonly actors: readonly ActorView[];
  readonly counters: Readonly<Record<string, number>>;
  readonly held: Readonly<Record<string, number>>;
  readonly waits: NodeInspection["waits"];
  /** Of a gateway: the URL at which it listens. */
  readonly address?: string;
}

/** A role that can be looked at. */
export interface Inspected {
  inspect(): Inspection;
  /** Series by the name of the metric. */
  metrics(): Record<string, Series[]>;
}

export type ProcessFacts = Static<typeof ProcessSchema>;
