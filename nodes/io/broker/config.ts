/**
 * The text of the server's configuration; pure. Permissions come from protocol/subjects.ts.
 *
 * C1  Everybody who gives no credential is `anonymous`: public subjects and inboxes only (law 9).
 * C2  Replies to the operator's and the gateways' calls come below inboxes of theirs, which the anonymous may not hear although it hears others.
 * C3  A hung client is dropped within about 3 s on 2.10 and later (ping 1 s, twice).
 */
import { LIMITS } from "../../../protocol/limits.ts";
import { permissionsOf, type Role } from "../../../protocol/subjects.ts";
import { featuresOf } from "./version.ts";

/** A credential: one per node, one for the operator. */
export interface BrokerUser {
  readonly user: string;
  readonly password: string;
  readonly role: Role;
  /** Node id, or `*` when all nodes of the role share it. */
  readonly node: string;
}

export interface BrokerConfig {
  readonly version: string;
  /** 0: the server chooses, and says which in the ports file. */
  readonly port: number;
  /** Address to listen on; default: the loopback. */
  readonly host?: string;
  /** `host:port` that clients are told for this server; default: its addresses. */
  readonly advertise?: string;
  /** Different for each server of a cluster. */
  readonly serverName: string;
  readonly storeDirectory: string;
  /** Of a server that we start as a child, and find again by them; without, it logs to stderr. */
  readonly files?: { readonly portsDirectory: string; readonly pidFile: string; readonly logFile: string };
  readonly users: readonly BrokerUser[];
  /** The credential for `$SYS`: looking at and ending connections. */
  readonly system: { readonly user: string; readonly password: string };
  /** True: nothing is acknowledged before the disk has it (needs 2.10). */
  readonly syncAlways?: boolean;
  /** For one server of several. */
  readonly cluster?: BrokerCluster;
  /** Certificates for clients, and for the routes of a cluster. */
  readonly tls?: BrokerTls;
}

/** What a server has to know of the cluster that it is part of. */
export interface BrokerCluster {
  readonly name: string;
  /** Where the others reach it; default address: the loopback. */
  readonly host?: string;
  readonly port: number;
  /** `host:port` that the others are told for this server; default: its addresses. */
  readonly advertise?: string;
  /** `host:port` of the others' cluster ports; its own may be among them. */
  readonly routes: readonly string[];
  /** Servers let each other in by it. */
  readonly user: string;
  readonly password: string;
}

/** Paths of PEM files, as the server sees them. */
export interface BrokerTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Where replies to the operator's calls arrive: an inbox like any caller's, but nobody else's. */
export const OPERATOR_INBOX = "_INBOX.operator";
/** The same for the calls of gateways. */
const GATEWAY_INBOX = "_INBOX.gateway";

/** The whole configuration file. Throws RangeError when a value has a control character, which the format cannot hold. */
export function brokerConfig(config: BrokerConfig): string {
  const features = featuresOf(config.version);
  const anonymous = config.users.find((user) => user.role === "anonymous");
  return `# Made by pilot, which writes it anew; changes are lost then.
server_name: ${text(config.serverName)}
host: ${text(config.host ?? "127.0.0.1")}
port: ${config.port === 0 ? -1 : config.port}
${config.advertise === undefined ? "" : `client_advertise: ${text(config.advertise)}\n`}${filesPart(config)}max_payload: ${LIMITS.brokerPayload.value}
max_pending: ${LIMITS.brokerPending.value}
max_connections: ${LIMITS.brokerConnections.value}
max_subscriptions: ${LIMITS.brokerSubscriptions.value}
ping_interval: "1s"
ping_max: 2
write_deadline: "2s"
lame_duck_grace_period: "1s"
lame_duck_duration: "30s"
jetstream {
  store_dir: ${text(config.storeDirectory)}
  max_file_store: ${LIMITS.brokerFiles.value}
  max_memory_store: ${LIMITS.brokerMemory.value}
${features.syncInterval ? `  sync_interval: ${config.syncAlways === true ? "always" : '"2s"'}\n` : ""}}
${tlsPart(config.tls)}${clusterPart(config)}system_account: SYS
accounts {
  SYS { users: [ { user: ${text(config.system.user)}, password: ${text(config.system.password)} } ] }
${pilotAccount(config.users)}
}
${anonymous === undefined ? "" : `no_auth_user: ${text(anonymous.user)}\n`}`;
}

function filesPart({ files, version }: BrokerConfig): string {
  if (files === undefined) return "";
  return `pid_file: ${text(files.pidFile)}
ports_file_dir: ${text(files.portsDirectory)}
log_file: ${text(files.logFile)}
logfile_size_limit: ${Math.floor(LIMITS.brokerLog.value / 2)}
${featuresOf(version).logCount ? "logfile_max_num: 2\n" : ""}`;
}

function clusterPart({ cluster, tls }: BrokerConfig): string {
  if (cluster === undefined) return "";
  const { name, host = "127.0.0.1", port, advertise, routes, user, password } = cluster;
  const urls = routes.map((route) => `nats-route://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${route}`);
  return `cluster {
  name: ${text(name)}
  listen: ${text(`${host}:${port}`)}
${advertise === undefined ? "" : `  advertise: ${text(advertise)}\n`}  authorization { user: ${text(user)}, password: ${text(password)}, timeout: 5 }
  routes: ${list(urls)}
${tlsPart(tls, "  ")}}
`;
}

function tlsPart(tls: BrokerTls | undefined, indent = ""): string {
  if (tls === undefined) return "";
  return `${indent}tls { cert_file: ${text(tls.cert)}, key_file: ${text(tls.key)}, ca_file: ${text(tls.ca)}, timeout: 5 }\n`;
}

/** The account of the platform with its users, for `accounts { … }`. */
function pilotAccount(users: readonly BrokerUser[]): string {
  return `  PILOT {
    jetstream: enabled
    users: [
${users.map((user) => `      ${userLine(user)}`).join("\n")}
    ]
  }`;
}

/** What the operator of a server that we do not start has to add to its configuration, with the reasons. */
export function guestConfig(users: readonly BrokerUser[]): string {
  return `# A body of a call has up to this size.
max_payload: ${LIMITS.brokerPayload.value}
max_pending: ${LIMITS.brokerPending.value}
# A hung host is dropped within three seconds; pilot up --direct relies on it.
ping_interval: "1s"
ping_max: 2
write_deadline: "2s"
# Functions, code and records are kept there.
jetstream: enabled
accounts {
${pilotAccount(users)}
}
# Who gives no credential may call functions and nothing else. Leave it out to let nobody in so.
no_auth_user: anonymous
`;
}

function userLine(user: BrokerUser): string {
  const { publish, subscribe } = permissionsOf(user.role, user.node);
  const others = [OPERATOR_INBOX, ...(user.role === "gateway" ? [] : [GATEWAY_INBOX])].map((inbox) => `${inbox}.>`);
  const hears = user.role === "operator" ? list(subscribe) : `{ allow: ${list(subscribe)}, deny: ${list(others)} }`;
  return `{ user: ${text(user.user)}, password: ${text(user.password)}, permissions: { publish: ${list(publish)}, subscribe: ${hears} } }`;
}

function list(subjects: readonly string[]): string {
  return `[${subjects.map(text).join(", ")}]`;
}

function text(value: string): string {
  for (const character of value) {
    if (character < " " || character === "\u007f") throw new RangeError(`a control character in ${JSON.stringify(value)}`);
  }
  return JSON.stringify(value);
}
