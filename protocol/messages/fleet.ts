/** What hosts, instances and containers there are, and what became of calls. Schedulers ask the hosts afresh each time. */
import Type, { type Static } from "typebox";
import { request, Strict } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import { CallSchema, ClassSchema, Count, Id, Memory, Name, PoolSchema, RuntimeSchema, Version } from "./records.ts";

const on = (verb: string) => () => SUBJECT.service("fleet", verb);

export const ContainerSchema = Type.Object({
  id: Type.String(),
  /** `spare` is booted and blank; `loading` loads code. */
  state: Type.Union([Type.Literal("spare"), Type.Literal("loading"), Type.Literal("idle"), Type.Literal("busy")]),
  account: Type.Optional(Name),
  function: Type.Optional(Type.String()),
  version: Type.Optional(Count),
  memoryMb: Type.Optional(Count),
  /** Share of the instance's cpu, the same ratio as memory (F060). */
  cpu: Type.Optional(Type.Number()),
  calls: Type.Optional(Count),
  idleMs: Type.Optional(Type.Number()),
});

export const InstanceSchema = Type.Object({
  id: Type.String(),
  host: Type.String(),
  runtime: RuntimeSchema,
  runtimeVersion: Type.String(),
  memoryMb: Count,
  /** Memory amounts of its containers together. */
  usedMb: Count,
  state: Type.Union([Type.Literal("booting"), Type.Literal("warm"), Type.Literal("active"), Type.Literal("draining")]),
  /** Nobody's while warm. */
  account: Type.Union([Name, Type.Null()]),
  class: Type.Optional(ClassSchema),
  network: Type.Boolean(),
  containers: Type.Array(ContainerSchema),
  /** Code keys (account.function.version) that are on the instance. */
  code: Type.Array(Type.String()),
});

export const FunctionCountersSchema = Type.Object({
  account: Name,
  function: Type.String(),
  version: Count,
  calls: Count,
  direct: Count,
  failures: Type.Record(Type.String(), Count),
  rungs: Type.Record(Type.String(), Count),
  /** Milliseconds; of what the host still remembers. */
  runMs: Type.Object({ mean: Type.Number(), p50: Type.Number(), p99: Type.Number() }),
});

export const HostSchema = Type.Object({
  id: Type.String(),
  /** New at each start of the agent. */
  epoch: Type.String(),
  memoryMb: Count,
  usedMb: Count,
  cores: Count,
  /** It takes nothing new. */
  draining: Type.Boolean(),
  /** Only until it is told otherwise. */
  cordoned: Type.Optional(Type.Boolean()),
  isolation: Type.Object({
    kind: Type.String(),
    namespaces: Type.Boolean(),
    seccomp: Type.Boolean(),
    cgroups: Type.String(),
    ownUid: Type.Boolean(),
    /** What `--network` gives: `own`, `host` or `none`. */
    network: Type.String(),
    gaps: Type.Array(Type.String()),
  }),
  runtimes: Type.Record(Type.String(), Type.String()),
  instances: Type.Array(InstanceSchema),
  /** The warm numbers it follows now: the operator's laid over its own defaults. */
  pools: Type.Array(PoolSchema),
  cache: Type.Array(Type.Object({ digest: Type.String(), bytes: Count, uses: Count })),
  downloads: Count,
  grants: Type.Array(Type.Object({ account: Name, function: Name, version: Version, subscriptions: Count, expiresInMs: Type.Number() })),
  functions: Type.Array(FunctionCountersSchema),
  /** Named counters: dropped replies, refused frames, limits hit, … */
  counters: Type.Record(Type.String(), Count),
});

export const describeHost = request({
  name: "describe",
  subject: (host: string) => SUBJECT.agent(host, "describe"),
  request: Strict({}),
  reply: HostSchema,
  meaning: "Everything a host knows of itself at this moment.",
});

export const showFleet = request({
  name: "fleet",
  subject: on("show"),
  request: Strict({}),
  reply: Type.Object({
    hosts: Type.Array(HostSchema),
    /** Hosts that were known and did not answer. */
    silent: Type.Array(Type.String()),
    /** Hosts that this scheduler has declared lost of late, and that have not come back; earlier releases did not say. */
    lost: Type.Optional(Type.Array(Type.Object({ id: Type.String(), agoMs: Type.Number() }))),
    nodes: Type.Array(
      Type.Object({
        role: Type.String(),
        id: Type.String(),
        aliveMs: Type.Number(),
        /** Of a scheduler: the classes whose manager it is. */
        leads: Type.Optional(Type.Array(ClassSchema)),
      }),
    ),
    /** Waiting rooms that are not empty, by account.function. */
    waiting: Type.Record(Type.String(), Count),
    classes: Type.Record(Type.String(), ClassSchema),
  }),
  timeoutMs: 10_000,
  meaning: "The whole fleet, asked of every live host now.",
});

const PreloadSchema = Strict({
  account: Name,
  name: Name,
  count: Type.Integer({ minimum: 1, maximum: 100 }),
  memoryMb: Type.Optional(Memory),
});
export type Preload = Static<typeof PreloadSchema>;

export const preloadFunction = request({
  name: "preload",
  subject: on("preload"),
  request: PreloadSchema,
  reply: Type.Object({ ready: Count }),
  timeoutMs: 30_000,
  meaning: "Readies idle containers with the function's live code before any call (F024); returns when they are ready.",
});

export const preloadAtKeeper = request({
  name: "preload-at-keeper",
  subject: (scheduler: string) => SUBJECT.node(scheduler, "preload"),
  request: PreloadSchema,
  reply: Type.Object({ ready: Count }),
  timeoutMs: 30_000,
  meaning: "A scheduler passes a preload on to the function's keeper, which alone knows what is on order.",
});

export const showCall = request({
  name: "show-call",
  subject: on("call"),
  request: Strict({ id: Id }),
  reply: Type.Object({ call: CallSchema }),
  timeoutMs: 10_000,
  meaning: "The record of one finished call, from its host's memory or from the call log.",
});

/** One of the two: the id, or what the caller itself knows, the subject on which it waits for the reply. */
const NamedCallSchema = Strict({ id: Type.Optional(Id), reply: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })) });

export const cancelCall = request({
  name: "cancel-call",
  subject: on("cancel"),
  request: NamedCallSchema,
  reply: Type.Object({ cancelled: Type.Boolean() }),
  meaning: "Ends a call that waits or runs, named by its id or by its reply subject; its caller gets Cancelled.",
});

export const cancelAtKeeper = request({
  name: "cancel-at-keeper",
  subject: (scheduler: string) => SUBJECT.node(scheduler, "cancel"),
  request: NamedCallSchema,
  reply: Type.Object({ cancelled: Type.Boolean() }),
  meaning: "A scheduler asks another to end a call that may wait there.",
});
