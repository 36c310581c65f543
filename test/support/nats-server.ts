/** A broker of a test's own: free port, own store, the credentials of every role; gone with the test. */

import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { OPERATOR_INBOX } from "../../nodes/io/broker/config.ts";
import { findBroker } from "../../nodes/io/broker/find.ts";
import { type RunningBroker, startBroker } from "../../nodes/io/broker/start.ts";
import { contextOf, openStore } from "../../nodes/io/store.ts";
import { inboxOf, type Role } from "../../protocol/subjects.ts";
import { temporaryDirectory } from "./temp.ts";

export interface TestBroker {
  readonly url: string;
  readonly port: number;
  /** Directory of the store; the broker's own is below it. */
  readonly store: string;
  /** User, password and inbox prefix of a role; the credential is good for every node id, the inbox is that of `node` (`<role>-1`). */
  credentials(
    role: Role,
    node?: string,
  ): {
    readonly servers: string;
    readonly user: string;
    readonly pass: string;
    readonly inboxPrefix: string;
  };
  /** Path of a NATS context file of a role, as role processes get it in PILOT_CONTEXT. */
  contextFile(role: Role): string;
  /** Of the server that runs now. */
  pid(): number;
  /** SIGKILL, and after it a new server on the same port and data. */
  crash(): Promise<void>;
  /** The same data on the same port after an orderly stop. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one. Whatever is connected to it sees it go when the test ends. */
export async function startTestBroker(t: ExecutionContext): Promise<TestBroker> {
  const directory = await temporaryDirectory(t);
  const found = await findBroker({ allowDownload: true });
  const store = await openStore(join(directory, "store"));
  // One credential for all nodes of a role: tests name their nodes as they like.
  const { users, system } = await store.credentials([]);
  const start = (port: number): Promise<RunningBroker> =>
    startBroker({
      path: found.path,
      version: found.version,
      directory: store.broker,
      port,
      users,
      system,
    });
  let broker = await start(0);
  const { url, port } = broker;
  t.teardown(() => broker.stop());
  for (const user of users) await store.writeContext(user.user, contextOf(url, user));
  const again = async (): Promise<void> => {
    broker = await start(port);
  };
  return {
    url,
    port,
    store: store.directory,
    credentials(role, node = `${role}-1`) {
      const user = users.find((one) => one.role === role);
      if (user === undefined) throw new RangeError(`no user for ${role}`);
      return { servers: url, user: user.user, pass: user.password, inboxPrefix: inboxPrefixOf(role, node) };
    },
    contextFile: (role) => store.contextFile(role),
    pid: () => broker.pid,
    async crash() {
      process.kill(broker.pid, "SIGKILL");
      await broker.exited;
      await again();
    },
    async restart() {
      await broker.stop();
      await again();
    },
    stop: () => broker.stop(),
  };
}

function inboxPrefixOf(role: Role, node: string): string {
  if (role === "anonymous") return "_INBOX";
  return role === "operator" ? OPERATOR_INBOX : inboxOf(role, node);
}
