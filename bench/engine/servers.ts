/** nats-servers of a benchmark's own, one or a cluster, with or without rights and certificates: what each of these costs. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "../../nodes/io/broker/certificates.ts";
import { planCluster } from "../../nodes/io/broker/cluster-files.ts";
import { type BrokerTls, brokerConfig } from "../../nodes/io/broker/config.ts";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { resolveConnection } from "../../nodes/io/context.ts";
import { connect } from "../../nodes/io/nats.ts";
import { contextOf } from "../../nodes/io/store.ts";
import { Fault } from "../../protocol/errors.ts";
import type { Role } from "../../protocol/subjects.ts";
import { type Child, startChild } from "./child.ts";
import { atEnd } from "./ending.ts";
import { chosenPort } from "./ports.ts";

export interface ServersOrder {
  readonly count: number;
  /** False: every credential may do everything. */
  readonly rights: boolean;
  readonly tls: boolean;
}

export interface Servers {
  readonly version: string;
  /** URLs with commas. */
  readonly url: string;
  /** Directory with a context file for each role; they name the first server first. */
  readonly contexts: string;
  /** Path of a context file that names one server only. */
  context(role: Role, server: number): Promise<string>;
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

/** Starts them; resolves when JetStream answers. Rejects with Fault Unavailable, also where certificates cannot be made. */
export async function startServers({ count, rights, tls }: ServersOrder): Promise<Servers> {
  const directory = await mkdtemp(join(tmpdir(), "pilotlight-servers-"));
  const children: Child[] = [];
  const stop = atEnd(async () => {
    await Promise.all(children.map((child) => child.stop()));
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  });
  try {
    const found = await findBroker({ allowDownload: true });
    // All are held before the first is let go.
    const ports = await Promise.all(Array.from({ length: 2 * count }, chosenPort));
    const addresses = Array.from({ length: count }, (_, at) => ({
      host: "127.0.0.1",
      port: ports[at] ?? 0,
      clusterPort: ports[count + at] ?? 0,
    }));
    const plan = planCluster(addresses, tls ? "tls" : "nats");
    const certificates = join(directory, "tls");
    if (tls) await makeCertificates(certificates, plan.brokers);
    const ca = join(certificates, "ca.pem");
    const tlsOf = (name: string): BrokerTls => ({ cert: join(certificates, `${name}.pem`), key: join(certificates, `${name}.key`), ca });
    const contexts = join(directory, "contexts");
    await mkdir(contexts);
    const write = async (name: string, role: Role, url: string): Promise<string> => {
      const user = plan.users.find((one) => one.role === role);
      if (user === undefined) throw new RangeError(`no user for ${role}`);
      const path = join(contexts, `${name}.json`);
      await writeFile(path, JSON.stringify({ ...contextOf(url, user), ...(tls && { ca }) }), { mode: 0o600 });
      return path;
    };
    for (const { role } of plan.users) await write(role, role, plan.url);
    for (const { name, port, cluster } of plan.brokers) {
      const config = brokerConfig({
        version: found.version,
        port,
        serverName: name,
        storeDirectory: join(directory, name),
        users: plan.users,
        system: plan.system,
        ...(count > 1 && { cluster }),
        ...(tls && { tls: tlsOf(name) }),
      });
      const file = join(directory, `${name}.conf`);
      await writeFile(file, rights ? config : withoutRights(config), { mode: 0o600 });
      children.push(
        await startChild({ program: found.path, words: ["-c", file], isReady: (line) => line.includes("Server is ready"), directory }),
      );
    }
    await settled(join(contexts, "operator.json"));
    return {
      version: found.version,
      url: plan.url,
      contexts,
      context: (role, server) => write(`${role}-${server}`, role, plan.url.split(",")[server] ?? ""),
      pids: children.map(({ pid }) => pid),
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** The rights stand at the end of each user's line. */
function withoutRights(config: string): string {
  const open = config.replaceAll(/, permissions: .* \}$/gm, " }");
  if (open.includes("permissions"))
    throw new Fault("Internal", "the rights of the configuration stand elsewhere than this benchmark looks");
  return open;
}

const SETTLE_MS = 30_000;
const PAUSE_MS = 200;

/** A cluster that has just begun has no JetStream until its servers have found each other. */
async function settled(context: string): Promise<void> {
  const { nc, close } = await connect(await resolveConnection({ context }, {}), { name: "bench", role: "operator", node: "bench-servers" });
  try {
    const until = performance.now() + SETTLE_MS;
    for (;;) {
      const problem = await nc
        .jetstreamManager({ timeout: 1_000 })
        .then((manager) => manager.getAccountInfo())
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
      if (problem === undefined) return;
      if (performance.now() > until) throw new Fault("Unavailable", `JetStream does not answer: ${Fault.from(problem).message}`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  } finally {
    await close();
  }
}
