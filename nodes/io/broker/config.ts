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
  /** 0: the server chooses, and says which in `portsDirectory`. */
  readonly port: number;
  readonly serverName: string;
  readonly storeDirectory: string;
  readonly portsDirectory: string;
  readonly pidFile: string;
  readonly logFile: string;
  readonly users: readonly BrokerUser[];
  /** The credential for `$SYS`: looking at and ending connections. */
  readonly system: { readonly user: string; readonly password: string };
  /** True: nothing is acknowledged before the disk has it (needs 2.10). */
  readonly syncAlways?: boolean;
}

/** Where replies to the operator's calls arrive: an inbox like any caller's, but nobody else's. */
export const OPERATOR_INBOX = "_INBOX.operator";
/** The same for the calls of gateways. */
export const GATEWAY_INBOX = "_INBOX.gateway";

/** The whole configuration file. Throws RangeError when a value has a control character, which the format cannot hold. */
export function brokerConfig(config: BrokerConfig): string {
  const features = featuresOf(config.version);
  const anonymous = config.users.find((user) => user.role === "anonymous");
  return `# Written at each start; changes are lost.
server_name: ${text(config.serverName)}
host: "127.0.0.1"
port: ${config.port === 0 ? -1 : config.port}
pid_file: ${text(config.pidFile)}
ports_file_dir: ${text(config.portsDirectory)}
log_file: ${text(config.logFile)}
logfile_size_limit: ${Math.floor(LIMITS.brokerLog.value / 2)}
${features.logCount ? "logfile_max_num: 2\n" : ""}max_payload: ${LIMITS.brokerPayload.value}
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
system_account: SYS
accounts {
  SYS { users: [ { user: ${text(config.system.user)}, password: ${text(config.system.password)} } ] }
${pilotAccount(config.users)}
}
${anonymous === undefined ? "" : `no_auth_user: ${text(anonymous.user)}\n`}`;
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
