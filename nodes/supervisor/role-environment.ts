/** What a node is told by its environment: written by the supervisor, read by the node's entry. The two ends are one file. */
import { Fault } from "../../protocol/errors.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../../protocol/runtimes.ts";
import { NODE_ROLES, type NodeRole } from "../../protocol/subjects.ts";

export interface RoleEnvironment {
  readonly role: NodeRole;
  /** Node id, for example `host-1`. */
  readonly node: string;
  /** Path of the NATS context file with this node's credential. */
  readonly context: string;
  /** Directory of the local form. */
  readonly store: string;
  readonly logLevel: string;
  readonly sandbox: "auto" | "bubblewrap" | "process";
  /** False: a host never answers public subjects itself. */
  readonly direct: boolean;
  /** Warm instances to keep per runtime; a runtime that is not named has the host's own default. */
  readonly warm: Readonly<Partial<Record<RuntimeName, number>>>;
  /** Of a host: memory that its functions may have together, in MB. Absent: all that the machine has. */
  readonly memoryMb?: number;
  /** Of a gateway: where it listens, as `address:port`; port 0 lets the system choose. Absent: 127.0.0.1:8080. */
  readonly http?: string;
  /** Of a gateway: path of a file with the token that callers must send; needed for an address that is not loopback. */
  readonly httpTokenFile?: string;
  /** Of a gateway: path of a file with the token for its metrics. Absent: who may call may read them only where callers need no token. */
  readonly metricsTokenFile?: string;
  /** Of a scheduler: how many servers keep each stream. Absent: three in a cluster of three or more, else one. */
  readonly replicas?: number;
}

/** As environment variables: PILOT_ROLE, PILOT_NODE, PILOT_CONTEXT, PILOT_STORE, PILOT_LOG_LEVEL, PILOT_SANDBOX, PILOT_DIRECT, PILOT_WARM, and where they are given PILOT_MEMORY, PILOT_HTTP, PILOT_HTTP_TOKEN_FILE, PILOT_METRICS_TOKEN_FILE, PILOT_REPLICAS. */
export function roleEnvironment(settings: RoleEnvironment): Record<string, string> {
  return {
    PILOT_ROLE: settings.role,
    PILOT_NODE: settings.node,
    PILOT_CONTEXT: settings.context,
    PILOT_STORE: settings.store,
    PILOT_LOG_LEVEL: settings.logLevel,
    PILOT_SANDBOX: settings.sandbox,
    PILOT_DIRECT: settings.direct ? "on" : "off",
    PILOT_WARM: Object.entries(settings.warm)
      .map(([runtime, count]) => `${runtime}=${count}`)
      .join(","),
    ...(settings.memoryMb !== undefined && { PILOT_MEMORY: String(settings.memoryMb) }),
    ...(settings.http !== undefined && { PILOT_HTTP: settings.http }),
    ...(settings.httpTokenFile !== undefined && { PILOT_HTTP_TOKEN_FILE: settings.httpTokenFile }),
    ...(settings.metricsTokenFile !== undefined && { PILOT_METRICS_TOKEN_FILE: settings.metricsTokenFile }),
    ...(settings.replicas !== undefined && { PILOT_REPLICAS: String(settings.replicas) }),
  };
}

/** The reverse. Fault BadRequest naming the variable that is missing or makes no sense. */
export function readRoleEnvironment(variables: Readonly<Record<string, string | undefined>>): RoleEnvironment {
  const need = (name: string): string => {
    const value = variables[name];
    if (value === undefined || value === "")
      throw new Fault("BadRequest", `${name} is not set; nodes are started by pilot up and pilot node run`);
    return value;
  };
  const one = <T extends string>(name: string, value: string, allowed: readonly T[]): T => {
    const match = allowed.find((candidate) => candidate === value);
    if (match === undefined) throw new Fault("BadRequest", `${name} is ${value}; it must be one of ${allowed.join(", ")}`);
    return match;
  };
  const warm: Partial<Record<RuntimeName, number>> = {};
  for (const part of (variables["PILOT_WARM"] ?? "").split(",")) {
    if (part === "") continue;
    const [runtime = "", count = ""] = part.split("=");
    if (!/^\d{1,6}$/.test(count)) throw new Fault("BadRequest", `PILOT_WARM has ${part}; write node=2,python=1`);
    warm[one("PILOT_WARM", runtime, RUNTIME_NAMES)] = Number(count);
  }
  const { PILOT_HTTP: http, PILOT_HTTP_TOKEN_FILE: httpTokenFile, PILOT_REPLICAS: replicas } = variables;
  const { PILOT_METRICS_TOKEN_FILE: metricsTokenFile, PILOT_MEMORY: memory } = variables;
  if (memory !== undefined && !/^[1-9]\d{0,8}$/.test(memory))
    throw new Fault("BadRequest", `PILOT_MEMORY is ${memory}; it must be a number of MB`);
  if (replicas !== undefined && !/^[1-5]$/.test(replicas))
    throw new Fault("BadRequest", `PILOT_REPLICAS is ${replicas}; it must be 1 to 5`);
  return {
    role: one("PILOT_ROLE", need("PILOT_ROLE"), NODE_ROLES),
    node: need("PILOT_NODE"),
    context: need("PILOT_CONTEXT"),
    store: need("PILOT_STORE"),
    logLevel: variables["PILOT_LOG_LEVEL"] ?? "info",
    sandbox: one("PILOT_SANDBOX", variables["PILOT_SANDBOX"] ?? "auto", ["auto", "bubblewrap", "process"]),
    direct: one("PILOT_DIRECT", variables["PILOT_DIRECT"] ?? "on", ["on", "off"]) === "on",
    warm,
    ...(memory !== undefined && { memoryMb: Number(memory) }),
    ...(http !== undefined && http !== "" && { http }),
    ...(httpTokenFile !== undefined && httpTokenFile !== "" && { httpTokenFile }),
    ...(metricsTokenFile !== undefined && metricsTokenFile !== "" && { metricsTokenFile }),
    ...(replicas !== undefined && { replicas: Number(replicas) }),
  };
}
