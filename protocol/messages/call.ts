/**
 * A call on its way between nodes. The head travels in front of the caller's untouched bytes (codec.joinHead);
 * the reply subject is `_pilot.back.<placer>.<placer's number>.<hop>.<caller's inbox>`.
 * On the direct path none of this exists: the host answers the public subject itself.
 */
import Type, { type Static } from "typebox";
import { checked, event } from "../contract.ts";
import { SUBJECT } from "../subjects.ts";
import {
  ClassSchema,
  ColdCauseSchema,
  Count,
  Digest,
  Environment,
  Id,
  Memory,
  Name,
  RungSchema,
  RuntimeSchema,
  Text,
  Timeout,
} from "./records.ts";

/** What a container has to load, as the immutable record of a version says. */
const OrderedCodeSchema = Type.Object({
  digest: Digest,
  runtime: RuntimeSchema,
  handler: Type.String({ minLength: 1, maxLength: 256 }),
  environment: Environment,
  network: Type.Boolean(),
});
export type OrderedCode = Static<typeof OrderedCodeSchema>;

const CallHeadSchema = Type.Object({
  /** Call id: time-ordered, made by the node that received the call (see protocol/call-id.ts). */
  call: Id,
  account: Name,
  function: Type.String({ maxLength: 80 }),
  /** 0 for inline code. */
  version: Count,
  /** Set for code in the request itself; the code is in the object store of inline code under this digest. */
  inline: Type.Optional(Type.Object({ digest: Digest, runtime: RuntimeSchema, handler: Type.String({ maxLength: 256 }) })),
  memoryMb: Memory,
  timeoutMs: Timeout,
  keepAliveMs: Count,
  /** Most containers of the function at a time. */
  containers: Count,
  /** Milliseconds for which the call may still wait for a place, counted from when this message was sent. */
  waitMs: Type.Number(),
  /** Ms since 1970 by the clock of the node that received the call. */
  receivedAt: Type.Number(),
  trace: Type.Boolean(),
  traceparent: Type.Optional(Type.String({ maxLength: 64 })),
  class: ClassSchema,
  /** The node that answers for the call until it is done, and the call's number there. Hosts report taken and done to it. */
  owner: Id,
  number: Count,
  /** Epoch of the owner: another life of the same node knows nothing of the call. */
  ownerEpoch: Type.Optional(Id),
  attempt: Count,
  /** May run again when its host dies. */
  idempotent: Type.Boolean(),
  /** Functions above this nested call, outermost first, as account.function. */
  chain: Type.Optional(Type.Array(Type.String({ maxLength: 130 }), { maxItems: 32 })),
  /**
   * No call, but the question whether the receiver has this one; the body is empty. Refused as a duplicate: it was taken;
   * otherwise refused: it is not known. A keeper that holds it and has not placed it says nothing.
   */
  probe: Type.Optional(Type.Literal(true)),
  /** The body is in the store, and the message has none: see protocol/bodies.ts. */
  bodyRef: Type.Optional(Type.Object({ id: Type.String({ pattern: "^[0-9a-f]{32}$" }), parts: Count, bytes: Count, sha256: Digest })),
  /** What the caller demanded of the runtime, for example "node@20". */
  runtimeWanted: Type.Optional(Type.String({ maxLength: 64 })),
  /** Only on the way to a host: the placement. `hot`: any idle container with the code. */
  place: Type.Optional(
    Type.Object({
      rung: RungSchema,
      /** For cached and own; warm and cold leave the choice to the host. */
      instance: Type.Optional(Type.String({ maxLength: 64 })),
      /** Size of the instance to take or boot, in MB. */
      instanceMb: Type.Optional(Count),
      /** For hot: join the queue there however long it is; otherwise the host refuses when a new container would be sooner. */
      queue: Type.Optional(Type.Boolean()),
      by: Type.Union([Type.Literal("frontend"), Type.Literal("keeper")]),
      reason: Type.Optional(Text),
      coldCause: Type.Optional(ColdCauseSchema),
    }),
  ),
  /**
   * Only from a keeper to a host, and only where a container has to be made: spares the host the reading of the version's
   * record. Left out where the environment is above LIMITS.orderedEnvironment, and for inline code.
   */
  code: Type.Optional(OrderedCodeSchema),
});
export type CallHead = Static<typeof CallHeadSchema>;
export const callHead = checked(CallHeadSchema);

/** A public call that a direct host, or a running function, hands to any frontend on `_pilot.desk`. Trusted: only hosts may publish there. */
const HandedCallSchema = Type.Object({
  account: Name,
  function: Type.String({ maxLength: 80 }),
  qualifier: Type.Optional(Type.String({ maxLength: 64 })),
  /** The caller's Pilot- headers and traceparent, as they came. */
  headers: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 1_024 })),
  chain: Type.Optional(Type.Array(Type.String({ maxLength: 130 }), { maxItems: 32 })),
  receivedAt: Type.Number(),
  /** Milliseconds already waited. */
  waitedMs: Type.Number(),
});
export type HandedCall = Static<typeof HandedCallSchema>;
export const handedCall = checked(HandedCallSchema);

/**
 * A host's question to any frontend, on `_pilot.desk` too: what is the call that a running function makes? The host places it itself
 * then, so that a question may be lost, or asked twice. Answered, or refused with the headers of an error, on the whole back subject.
 * A release that does not know it refuses it as a handed call that is malformed, by the reply subject inside the back subject.
 */
const AskedCallSchema = Type.Object({
  asks: Type.Literal(true),
  account: Name,
  function: Type.String({ maxLength: 80 }),
  qualifier: Type.Optional(Type.String({ maxLength: 64 })),
  headers: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 1_024 })),
  receivedAt: Type.Number(),
});
export type AskedCall = Static<typeof AskedCallSchema>;
export const askedCall = checked(AskedCallSchema);

/** The answer: what a keeper is told of the call, less who owns it. */
export const resolvedCall = checked(
  Type.Object({ resolved: Type.Omit(CallHeadSchema, ["owner", "number", "ownerEpoch", "chain", "place", "code", "probe"]) }),
);

/** A host's or keeper's no, published to the whole back subject as msgpack. The placer tries elsewhere. */
const RefusalSchema = Type.Object({
  refused: Type.Union([
    Type.Literal("no-container"), // hot: no container with the code
    Type.Literal("no-room"), // the instance has no room, or is not the account's
    Type.Literal("no-instance"), // no such instance, or no warm one left
    Type.Literal("no-capacity"), // the host cannot boot another
    Type.Literal("queue-full"), // too many wait here already
    Type.Literal("draining"),
    Type.Literal("duplicate"), // this call was taken here before: nothing to do
    Type.Literal("runtime"), // the runtime or its version is not offered here
    Type.Literal("malformed"),
  ]),
  reason: Text,
  /** Of a keeper's duplicate: which life of which host took it. */
  taken: Type.Optional(Type.Object({ host: Id, epoch: Type.String({ maxLength: 32 }) })),
});
export type Refusal = Static<typeof RefusalSchema>;
export const refusal = checked(RefusalSchema);

/**
 * What became of calls, batched (every 20 ms at most; at once when a keeper placed one of them), by the receiver's own numbers.
 * A host sends its announcement before the report, so that `taken` means: the announcement already shows it.
 */
export const callReport = event({
  name: "call-report",
  subject: (node: string) => SUBJECT.report(node),
  body: Type.Object({
    from: Id,
    epoch: Type.String({ maxLength: 32 }),
    /** Numbers given by the receiver as owner. */
    taken: Type.Array(Count),
    done: Type.Array(Count),
    /** Numbers given by the receiver as placer (in the back subject), when that is another node than the owner. */
    placedTaken: Type.Array(Count),
    placedDone: Type.Array(Count),
    /** To keepers: direct calls older than 250 ms, for which the keeper speaks if the host dies; and those that ended since. */
    long: Type.Optional(
      Type.Array(
        Type.Object({
          call: Id,
          reply: Type.String({ maxLength: 256 }),
          /** For the log of whoever has to answer it; earlier releases did not say. */
          account: Type.Optional(Name),
          function: Type.Optional(Type.String({ maxLength: 80 })),
        }),
      ),
    ),
    longEnded: Type.Optional(Type.Array(Id)),
  }),
  meaning: "Which calls a host has taken and finished, told to whoever placed or owns them.",
});

/** Finished calls of one host, for the call log. */
export const callRecords = event({
  name: "call-records",
  subject: (host: string) => SUBJECT.calls(host),
  body: Type.Object({ calls: Type.Array(Type.Unknown()), dropped: Count }),
  meaning: "Records of finished calls (CallRecord), kept in the stream PILOT_CALLS.",
});
