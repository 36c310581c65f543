/** What hosts announce, and what they are told: grants, recalls, provisions. */
import Type, { type Static } from "typebox";
import { event, request } from "../contract.ts";
import { LIMITS } from "../limits.ts";
import { SUBJECT } from "../subjects.ts";
import { ClassSchema, Count, Id, Memory, Name, RungSchema, RuntimeSchema, Timeout, Version } from "./records.ts";

/** Containers of one slot key (account.function.version@memory) on one instance. */
const SlotHint = Type.Object({ key: Type.String(), idle: Count, busy: Count, loading: Count });

const InstanceHintSchema = Type.Object({
  id: Id,
  runtime: RuntimeSchema,
  memoryMb: Count,
  usedMb: Count,
  state: Type.Union([Type.Literal("booting"), Type.Literal("warm"), Type.Literal("active"), Type.Literal("draining")]),
  account: Type.Union([Name, Type.Null()]),
  network: Type.Boolean(),
  /** Booted blank containers, and those being booted. */
  spares: Count,
  booting: Count,
  slots: Type.Array(SlotHint),
  /** account.function.version whose code is on the instance. */
  code: Type.Array(Type.String()),
});
export type InstanceHint = Static<typeof InstanceHintSchema>;

/** Cumulative since the host's epoch began. */
const FunctionCount = Type.Object({ account: Name, function: Type.String(), calls: Count, meanRunMs: Type.Number(), queued: Count });

const HostAnnouncementSchema = Type.Object({
  host: Id,
  /** New at each start of the agent: everything said by an older epoch is void. */
  epoch: Type.String({ maxLength: 32 }),
  /** Rises by one each time. A gap means: ask for nothing, the next full one repairs it. */
  seq: Count,
  /** Number of what it says on the wire (protocol/version.ts); absent: 1. */
  protocol: Type.Optional(Count),
  /** True: `instances` is everything; false: only those that changed, each whole. */
  full: Type.Boolean(),
  /** It takes nothing new. */
  draining: Type.Boolean(),
  /** Only until it is told otherwise; absent: not so, or a release that has no such state. */
  cordoned: Type.Optional(Type.Boolean()),
  /** Memory that may be given to containers, and what is given. */
  memoryMb: Count,
  usedMb: Count,
  cores: Count,
  /** Runtime name → version text such as "node 20.20.2". */
  runtimes: Type.Record(Type.String(), Type.String()),
  /** Whether it can run functions that were deployed with `--network`. */
  network: Type.Boolean(),
  instances: Type.Array(InstanceHintSchema),
  /** Ids of instances that are no more. */
  gone: Type.Array(Id),
  functions: Type.Array(FunctionCount),
  /** Moving averages of how long each way of getting a container takes here, in ms. */
  createMs: Type.Object({ cached: Type.Number(), own: Type.Number(), warm: Type.Number(), cold: Type.Number() }),
});
export type HostAnnouncement = Static<typeof HostAnnouncementSchema>;

export const hostAnnouncement = event({
  name: "host-announcement",
  subject: (host: string) => SUBJECT.announce("host", host),
  body: HostAnnouncementSchema,
  meaning: "What a host has, every 500 ms in full and within 20 ms of a change in part.",
});

/** Frontends, schedulers and gateways: I am here, and so many others are, as I see it. */
export const nodeAnnouncement = event({
  name: "node-announcement",
  subject: (role: "frontend" | "scheduler" | "gateway", node: string) => SUBJECT.announce(role, node),
  body: Type.Object({
    node: Id,
    epoch: Type.String({ maxLength: 32 }),
    draining: Type.Boolean(),
    /** Living ones: a keeper that is new knows by them whether it has heard everybody. */
    hosts: Type.Optional(Count),
    schedulers: Type.Optional(Count),
    /** Classes whose manager it is now, by its lease; absent in a release before leases. */
    leads: Type.Optional(Type.Array(ClassSchema)),
    /** Number of what it says on the wire (protocol/version.ts); absent: 1. */
    protocol: Type.Optional(Count),
  }),
  meaning: "A frontend, scheduler or gateway is alive, and counts so many among the living.",
});

export const hostLost = event({
  name: "host-lost",
  subject: (host: string) => SUBJECT.agent(host, "lost"),
  body: Type.Object({ epoch: Type.String({ maxLength: 32 }) }),
  meaning: "That life of the host was declared lost: its calls are others' by now. A host that hears this of itself ends.",
});

const GrantSchema = Type.Object({
  account: Name,
  function: Name,
  version: Version,
  memoryMb: Memory,
  timeoutMs: Timeout,
  keepAliveMs: Count,
  idempotent: Type.Boolean(),
  class: ClassSchema,
  /** Most containers that the function may have in all; for admission only. */
  containers: Count,
  /** So many exist, or as many as its account may have: none is made anywhere now. Absent: not so, or a release that does not say. */
  full: Type.Optional(Type.Boolean()),
  /** How often the host subscribes the public subject. */
  subscriptions: Type.Integer({ minimum: 1, maximum: 256 }),
  /** Revision of the function's record: of two grants of one function the higher epoch is right; a host refuses a lower one than it has seen. */
  epoch: Count,
  /** The keeper of the function, whoever issued the grant: what the host cannot run goes there. */
  keeper: Id,
  /** Life from receipt, in ms. */
  lifeMs: Count,
});
export type Grant = Static<typeof GrantSchema>;

/** The leader's epoch: the revision of its lease. Absent in orders of a release before leases, and in recalls of who does not lead. */
const LeaderEpoch = Type.Optional(Count);
/** Set when the order was of an older leader than this host obeys: the epoch of the newer one. Whoever hears it leads no more. */
const Fenced = Type.Optional(Count);

export const grantFunctions = request({
  name: "grant",
  subject: (host: string) => SUBJECT.agent(host, "grant"),
  request: Type.Object({ grants: Type.Array(GrantSchema), leaderEpoch: LeaderEpoch }),
  reply: Type.Object({ refused: Type.Array(Type.String()), fenced: Fenced }),
  timeoutMs: 1_000,
  meaning: "Gives or renews the right to answer functions directly; without grants it only tells who leads.",
});

export const recallGrant = request({
  name: "recall",
  subject: (host: string) => SUBJECT.agent(host, "recall"),
  request: Type.Object({ account: Name, function: Name, epoch: Count, leaderEpoch: LeaderEpoch }),
  reply: Type.Object({ fenced: Fenced }),
  timeoutMs: 2_000,
  meaning:
    "Ends a grant: the host leaves the desk, hands what still arrives to a frontend, and answers when it has left. That of an older leader ends none that a newer one gave for the same record.",
});

export const provisionContainer = request({
  name: "provision",
  subject: (host: string) => SUBJECT.agent(host, "provision"),
  request: Type.Object({
    account: Name,
    function: Name,
    version: Version,
    memoryMb: Memory,
    keepAliveMs: Count,
    rung: RungSchema,
    instance: Type.Optional(Type.String({ maxLength: 64 })),
    instanceMb: Type.Optional(Count),
  }),
  reply: Type.Object({ container: Type.String() }),
  timeoutMs: 20_000,
  meaning: "Readies one idle container without a call; answers when the code is loaded.",
});

export const cordonHost = request({
  name: "cordon",
  subject: (host: string) => SUBJECT.agent(host, "cordon"),
  request: Type.Object({ cordoned: Type.Boolean() }),
  reply: Type.Object({ cordoned: Type.Boolean() }),
  meaning: "A host takes nothing new from now on, or again; what runs and what is warm stays. Answered when it has left the desk.",
});

export const drainHost = request({
  name: "drain",
  subject: (host: string) => SUBJECT.agent(host, "drain"),
  request: Type.Object({
    /** How long running calls may go on, in ms; what runs longer is ended. Counted from the first such request. */
    waitMs: Type.Integer({ minimum: 0, maximum: LIMITS.timeoutMax.value }),
  }),
  reply: Type.Object({ left: Count }),
  meaning: "A host stops in order and is not started again; asked again it tells how many calls are left.",
});

export const cancelOnHost = request({
  name: "cancel",
  subject: (host: string) => SUBJECT.agent(host, "cancel"),
  request: Type.Object({ call: Type.Optional(Id), reply: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })) }),
  reply: Type.Object({ cancelled: Type.Boolean() }),
  meaning: "Ends a call that waits or runs on this host, named by its id or by its reply subject.",
});

export const findCall = request({
  name: "find-call",
  subject: (host: string) => SUBJECT.agent(host, "find-call"),
  request: Type.Object({ call: Id }),
  reply: Type.Object({ record: Type.Optional(Type.Unknown()) }),
  meaning: "The record of a finished call, if this host still remembers it.",
});
