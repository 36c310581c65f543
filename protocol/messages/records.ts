/** Schemas of the stored records in vocabulary.ts and of the parts that several messages share. */
import Type from "typebox";
import { LIMITS } from "../limits.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../runtimes.ts";
import { COLD_CAUSES, type ColdCause, RUNGS, type Rung } from "../vocabulary.ts";

export const Name = Type.String({ pattern: "^[a-z0-9][a-z0-9_-]{0,62}$" });
export const Id = Type.String({ pattern: "^[A-Za-z0-9_-]{1,64}$" });
export const Text = Type.String({ maxLength: 4_096 });
export const Count = Type.Integer({ minimum: 0 });
export const Memory = Type.Integer({ minimum: LIMITS.memoryMin.value, maximum: LIMITS.memoryMax.value });
export const Timeout = Type.Integer({ minimum: 1, maximum: LIMITS.timeoutMax.value });
export const Version = Type.Integer({ minimum: 1, maximum: 999_999_999 });
export const Digest = Type.String({ pattern: "^[0-9a-f]{64}$" });
export const RuntimeSchema = Type.Unsafe<RuntimeName>(Type.Union(RUNTIME_NAMES.map((name) => Type.Literal(name))));
export const ClassSchema = Type.Union([Type.Literal("rare"), Type.Literal("busy")]);
export const RungSchema = Type.Unsafe<Rung>(Type.Union(RUNGS.map((rung) => Type.Literal(rung))));
export const ColdCauseSchema = Type.Unsafe<ColdCause>(Type.Union(COLD_CAUSES.map((cause) => Type.Literal(cause))));
const PathSchema = Type.Union([Type.Literal("direct"), Type.Literal("frontend"), Type.Literal("keeper")]);

export const Environment = Type.Record(
  Type.String({ pattern: "^[A-Za-z_][A-Za-z0-9_]{0,127}$" }),
  Type.String({ maxLength: LIMITS.environment.value }),
  {
    maxProperties: 256,
    additionalProperties: false,
  },
);

const Settings = Type.Object({
  memoryMb: Memory,
  timeoutMs: Timeout,
  keepAliveMs: Type.Integer({ minimum: 0, maximum: 86_400_000 }),
  class: Type.Optional(ClassSchema),
  direct: Type.Boolean(),
  idempotent: Type.Boolean(),
  containers: Type.Integer({ minimum: 1, maximum: LIMITS.containersPerFunction.value }),
});

export const Shares = Type.Array(Type.Object({ version: Version, weight: Type.Integer({ minimum: 1, maximum: 100 }) }), {
  minItems: 1,
  maxItems: 8,
});

export const FunctionSchema = Type.Object({
  account: Name,
  name: Name,
  settings: Settings,
  aliases: Type.Record(Type.String(), Shares),
  newest: Version,
  versions: Type.Array(Version),
  createdAt: Type.Number(),
  changedAt: Type.Number(),
});

export const VersionSchema = Type.Object({
  account: Name,
  name: Name,
  version: Version,
  runtime: RuntimeSchema,
  handler: Type.String({ minLength: 1, maxLength: 256 }),
  digest: Digest,
  bytes: Count,
  hasMap: Type.Boolean(),
  environment: Environment,
  network: Type.Boolean(),
  createdAt: Type.Number(),
});

export const AccountSchema = Type.Object({
  name: Name,
  timeoutMs: Type.Optional(Timeout),
  memoryMb: Type.Optional(Memory),
  containers: Type.Integer({ minimum: 0, maximum: 100_000 }),
  active: Type.Boolean(),
  createdAt: Type.Number(),
});

export const PoolSchema = Type.Object({ runtime: RuntimeSchema, memoryMb: Memory, warm: Type.Integer({ minimum: 0, maximum: 1_000 }) });

export const CallSchema = Type.Object({
  id: Id,
  account: Name,
  function: Type.String(),
  version: Count,
  rung: RungSchema,
  path: PathSchema,
  class: ClassSchema,
  host: Id,
  instance: Type.String(),
  container: Type.String(),
  memoryMb: Count,
  attempt: Count,
  coldCause: Type.Optional(ColdCauseSchema),
  reason: Type.Optional(Type.String()),
  receivedAt: Type.Number(),
  startedAt: Type.Number(),
  endedAt: Type.Number(),
  error: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
  bytesIn: Count,
  bytesOut: Count,
  memoryPeakBytes: Type.Optional(Count),
  cpuMicroseconds: Type.Optional(Count),
});

/** Who leads a class, as its lease in the bucket says. */
export const LeaseSchema = Type.Object({
  /** A scheduler, and which life of it. */
  holder: Id,
  life: Type.String({ maxLength: 32 }),
});
