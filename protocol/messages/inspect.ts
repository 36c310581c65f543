/** What one node knows of itself: its machines and their last transitions, its counters, what it holds, what waits there. */
import Type, { type Static } from "typebox";
import { request, Strict } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import { Count } from "./records.ts";

const TransitionSchema = Type.Object({
  /** Ms since 1970 by the node's clock. */
  at: Type.Number(),
  from: Type.String(),
  to: Type.String(),
  event: Type.String(),
  /** In words, where the event gave one. */
  reason: Type.Optional(Type.String()),
});

export const ActorSchema = Type.Object({
  /** `host`, `scheduler`, `instance/<id>`, …: unique on its node. */
  id: Type.String(),
  machine: Type.String(),
  state: Type.String(),
  since: Type.Number(),
  gone: Type.Boolean(),
  transitions: Type.Array(TransitionSchema),
});

/** What its process costs, as the system counts it. */
export const ProcessSchema = Type.Object({
  pid: Count,
  memoryBytes: Count,
  heapBytes: Count,
  cpuSeconds: Type.Number(),
  /** Delay of the event loop over the last few seconds, in ms. */
  loopDelayMs: Type.Object({ p99: Type.Number(), max: Type.Number() }),
  /** Of the machine it runs on, all cores together, since that started. */
  machine: Type.Object({ cores: Count, busySeconds: Type.Number(), idleSeconds: Type.Number(), load1: Type.Number() }),
  reconnects: Count,
  openFiles: Type.Optional(Count),
});

const NodeInspectionSchema = Type.Object({
  node: Type.String(),
  role: Type.String(),
  epoch: Type.String(),
  version: Type.String(),
  /** Ms since 1970 by the node's clock: when it was ready, and now. */
  startedAt: Type.Number(),
  at: Type.Number(),
  uptimeMs: Type.Number(),
  /** The broker's server that each of its two connections is on. */
  servers: Type.Object({ calls: Type.String(), control: Type.String() }),
  /** Of a gateway: the URL at which it listens. */
  address: Type.Optional(Type.String()),
  process: ProcessSchema,
  actors: Type.Array(ActorSchema),
  /** Machines that were left out, over LIMITS.actorsShown. */
  actorsLeft: Count,
  /** Named counters: what was dropped, refused or retried since its epoch began. */
  counters: Type.Record(Type.String(), Count),
  /** What it holds of calls now; at rest all are 0. */
  held: Type.Record(Type.String(), Count),
  /** Of a scheduler: the first waiting call of each slot that has one. */
  waits: Type.Array(
    Type.Object({ key: Type.String(), account: Type.String(), memoryMb: Count, waitedMs: Type.Number(), reason: Type.String() }),
  ),
  /** Rows of the table of limits that were hit since its epoch began, with how often. */
  limits: Type.Record(Type.String(), Count),
});
export type NodeInspection = Static<typeof NodeInspectionSchema>;

export const inspectNode = request({
  name: "inspect",
  subject: (node: string) => SUBJECT.node(node, "inspect"),
  request: Strict({
    /** Only this machine: its whole id, or what follows `instance/`. Fault NotFound when the node knows none. */
    actor: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  }),
  reply: NodeInspectionSchema,
  meaning: "What a node knows of itself: its machines with their last transitions, counters, what it holds, what waits there.",
});
