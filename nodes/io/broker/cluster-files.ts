/**
 * A cluster of nats-servers on paper: what each has to be told, and the contexts with which nodes and operators reach them.
 * `pilot cluster init` writes it for machines of one's own; the tests start it.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { isIPv4, isIPv6 } from "node:net";
import { join, resolve } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { NODE_ROLES, type Role } from "../../../protocol/subjects.ts";
import { replaceFile } from "../directory.ts";
import { contextOf } from "../store.ts";
import { makeCertificates } from "./certificates.ts";
import { type BrokerCluster, type BrokerTls, type BrokerUser, brokerConfig } from "./config.ts";
import { BROKER_VERSION } from "./release.ts";

/** Where one server is reached: by clients at `port`, by the other servers at `clusterPort`. */
export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
  readonly clusterPort: number;
}

export interface ClusterPlan {
  readonly brokers: readonly PlannedBroker[];
  /** One for the operator, one for each role, and the anonymous. */
  readonly users: readonly BrokerUser[];
  readonly system: { readonly user: string; readonly password: string };
  /** All servers with commas, in the order in which nodes try them: a cell sits together on the first that lives. */
  readonly url: string;
}

export interface PlannedBroker extends BrokerAddress {
  /** Of the server, and of its configuration file. */
  readonly name: string;
  readonly cluster: BrokerCluster;
}

/** How far a server's port for the other servers is from that for clients, where nobody says. */
const CLUSTER_PORT_ABOVE = 2_000;

/** Reads `HOST[:PORT]`. Throws Fault BadRequest. */
export function brokerAddress(text: string): BrokerAddress {
  const match = /^(?<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(?<port>\d{1,5}))?$/.exec(text);
  const port = Number(match?.groups?.["port"] ?? 4_222);
  if (match?.groups?.["host"] === undefined || port < 1 || port + CLUSTER_PORT_ABOVE > 65_535)
    throw new Fault("BadRequest", `"${text}" is no server: write HOST or HOST:PORT, the port up to ${65_535 - CLUSTER_PORT_ABOVE}`);
  return { host: match.groups["host"], port, clusterPort: port + CLUSTER_PORT_ABOVE };
}

/** Makes the names and passwords of a cluster. Throws Fault BadRequest when two servers have one address. `scheme`: tls where the servers have certificates. */
export function planCluster(addresses: readonly BrokerAddress[], scheme: "nats" | "tls" = "nats"): ClusterPlan {
  const password = (): string => randomBytes(24).toString("base64url");
  const roles: readonly Role[] = ["operator", ...NODE_ROLES, "anonymous"];
  const routes = addresses.map(({ host, clusterPort }) => `${host}:${clusterPort}`);
  if (new Set(routes).size < routes.length) throw new Fault("BadRequest", "two of the servers have the same address");
  const oneHostEach = new Set(addresses.map(({ host }) => host)).size === addresses.length;
  const secret = password();
  return {
    users: roles.map((role) => ({ user: role, password: password(), role, node: "*" })),
    system: { user: "system", password: password() },
    url: addresses.map(({ host, port }) => `${scheme}://${host}:${port}`).join(","),
    brokers: addresses.map((address) => ({
      ...address,
      name: oneHostEach && !isIPv4(address.host) ? address.host : `${address.host}-${address.port}`.replaceAll(".", "-"),
      cluster: {
        name: "pilotlight",
        host: listenAddress(address.host),
        port: address.clusterPort,
        advertise: `${address.host}:${address.clusterPort}`,
        routes,
        user: "route",
        password: secret,
      },
    })),
  };
}

export interface WriteCluster {
  readonly directory: string;
  readonly brokers: readonly BrokerAddress[];
  /** Where servers keep their data, each in a directory of its name, on its own machine. */
  readonly storage: string;
  /** True: certificates are made too, by openssl, and clients and servers use them. */
  readonly tls?: boolean;
  /** Where a server finds its certificates, on its own machine; default: where they are made. */
  readonly tlsAt?: string;
  /** True: what is in the directory is written over, with new passwords. */
  readonly force?: boolean;
}

export interface WrittenCluster {
  readonly directory: string;
  /** Paths of the servers' configurations. */
  readonly configs: readonly string[];
  /** Paths of the context files, by role. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly url: string;
}

/** Writes configurations, contexts and a README. Faults: Conflict when the directory has something in it, BadRequest when it cannot be written. */
export async function writeCluster({
  directory: path,
  brokers,
  storage,
  tls = false,
  tlsAt,
  force = false,
}: WriteCluster): Promise<WrittenCluster> {
  const directory = resolve(path);
  const present = await readdir(directory).catch(() => []);
  if (present.length > 0 && !force)
    throw new Fault("Conflict", `${directory} is not empty`, { next: "Give another directory, or --force: it makes new passwords." });
  const plan = planCluster(brokers, tls ? "tls" : "nats");
  const contexts: Record<string, string> = {};
  const configs: string[] = [];
  const certificates = join(directory, "tls");
  const tlsOf = (name: string): BrokerTls => {
    const at = tlsAt ?? certificates;
    return { cert: join(at, `${name}.pem`), key: join(at, `${name}.key`), ca: join(at, "ca.pem") };
  };
  try {
    for (const part of ["brokers", "contexts"]) await mkdir(join(directory, part), { recursive: true, mode: 0o700 });
    for (const { name, host, port, cluster } of plan.brokers) {
      const file = join(directory, "brokers", `${name}.conf`);
      const config = brokerConfig({
        version: BROKER_VERSION,
        host: listenAddress(host),
        advertise: `${host}:${port}`,
        port,
        serverName: name,
        storeDirectory: join(storage, name),
        users: plan.users,
        system: plan.system,
        // One alone would wait for others before JetStream answers.
        ...(brokers.length > 1 && { cluster }),
        ...(tls && { tls: tlsOf(name) }),
      });
      await replaceFile(file, config);
      configs.push(file);
    }
    for (const user of plan.users) {
      if (user.role === "anonymous") continue;
      contexts[user.role] = join(directory, "contexts", `${user.role}.json`);
      const ca = tls ? { ca: join(certificates, "ca.pem") } : {};
      await replaceFile(contexts[user.role] ?? "", `${JSON.stringify({ ...contextOf(plan.url, user), ...ca }, undefined, 2)}\n`);
    }
    if (tls) await makeCertificates(certificates, plan.brokers);
    await replaceFile(join(directory, "README.md"), readme(plan, tls));
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("BadRequest", `${directory} cannot be written: ${(error as Error).message}`, undefined, error);
  }
  return { directory, configs, contexts, url: plan.url };
}

/** A server on the loopback stays there; any other is for other machines. */
function listenAddress(host: string): string {
  if (host === "localhost") return "127.0.0.1";
  return host.startsWith("127.") || isIPv6(host) ? host : "0.0.0.0";
}

function readme({ brokers, url }: ClusterPlan, tls: boolean): string {
  const certificates = `- \`tls/\`: \`ca.pem\` for everybody, \`<server>.pem\` and \`<server>.key\` for that server alone, at the paths in its configuration;
  \`ca.key\` for nobody.
`;
  return `# A cluster for Pilotlight

Made by \`pilot cluster init\`. It holds passwords: keep it from others, and out of version control.

- \`brokers/<server>.conf\`: start \`nats-server -c\` with it on the machine of that name (${brokers.map(({ name }) => name).join(", ")}).
  Clients use port ${[...new Set(brokers.map(({ port }) => port))].join(", ")}, the servers among each other ${[...new Set(brokers.map(({ clusterPort }) => clusterPort))].join(", ")}.
- \`contexts/<role>.json\`: what a node needs to know. On a machine for nodes:
  \`pilot node run --roles frontend,scheduler,host --contexts contexts\`; only the files of its roles need to be there.
- \`contexts/operator.json\`: for people. \`pilot doctor --context contexts/operator.json\`.
${tls ? certificates : ""}- Callers: ${url}, without a credential${tls ? ", with `ca.pem`" : ""}.
`;
}
