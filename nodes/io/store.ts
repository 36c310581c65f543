/**
 * The directory of one local form: `broker/ contexts/ logs/ run/ secrets.json lock`.
 *
 * T1  One `up` per store; `node run --store` only reads its contexts and needs no lock.
 * T2  Credentials are made once and kept; only their owner may read them (0600 in 0700).
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { Fault } from "../../protocol/errors.ts";
import { NODE_ROLES, type Role } from "../../protocol/subjects.ts";
import { type BrokerUser, OPERATOR_INBOX } from "./broker/config.ts";
import { openDirectory, replaceFile } from "./directory.ts";

export interface Store {
  readonly directory: string;
  readonly broker: string;
  readonly contexts: string;
  readonly logs: string;
  /** Path of the context file of a node id, or of `operator` or `system`. */
  contextFile(name: string): string;
  /**
   * Users of these nodes, one per role for all other nodes of it, the operator and the anonymous; each password is made at its
   * first use and kept.
   */
  credentials(nodes: readonly { readonly role: Role; readonly node: string }[]): Promise<Credentials>;
  /** Writes the context file of one user. */
  writeContext(name: string, context: Record<string, string>): Promise<void>;
  /** Gives the lock back. The directory stays. */
  release(): Promise<void>;
  /** Removes the directory with everything in it, the lock last. */
  remove(): Promise<void>;
}

export interface Credentials {
  readonly users: readonly BrokerUser[];
  readonly system: { readonly user: string; readonly password: string };
}

/** `${XDG_DATA_HOME:-~/.local/share}/pilotlight/default`. */
export function defaultStore(environment: NodeJS.ProcessEnv = process.env): string {
  return join(dataHome(environment), "default");
}

/** `${XDG_DATA_HOME:-~/.local/share}/pilotlight`: where this user's data of Pilotlight is. */
export function dataHome(environment: NodeJS.ProcessEnv): string {
  const base = environment["XDG_DATA_HOME"];
  const home = environment["HOME"] ?? homedir();
  return join(base !== undefined && isAbsolute(base) ? base : join(home, ".local", "share"), "pilotlight");
}

/** Name of the context, in a store, of all nodes of a role that have none of their own. */
export const roleContext = (role: Role): string => `role-${role}`;

/** A fresh directory for a form that leaves nothing behind. */
export function temporaryStore(): Promise<string> {
  return mkdtemp(join(tmpdir(), "pilotlight-"));
}

/** Makes the directory where needed and takes its lock. Rejects with Fault Conflict when a live process has it. */
export async function openStore(path: string): Promise<Store> {
  const owned = await openDirectory(
    path,
    ["broker", "contexts", "logs", "run"],
    "the store",
    "stop that one, or give another with --store",
  );
  const directory = owned.path;
  const secretsFile = join(directory, "secrets.json");
  return {
    directory,
    broker: join(directory, "broker"),
    contexts: join(directory, "contexts"),
    logs: join(directory, "logs"),
    contextFile: (name) => join(directory, "contexts", `${name}.json`),
    async credentials(nodes) {
      const secrets = await readSecrets(secretsFile);
      const password = (user: string): string => (secrets[user] ??= randomBytes(24).toString("base64url"));
      const wanted = [
        { role: "operator" as const, node: "operator", user: "operator" },
        ...nodes.map(({ role, node }) => ({ role, node, user: node })),
        ...NODE_ROLES.map((role) => ({ role, node: "*", user: role })),
        { role: "anonymous" as const, node: "anonymous", user: "anonymous" },
      ];
      const users = wanted.map((user) => ({ ...user, password: password(user.user) }));
      const system = { user: "system", password: password("system") };
      await replaceFile(secretsFile, JSON.stringify(secrets, undefined, 2));
      return { users, system };
    },
    writeContext: (name, context) => replaceFile(join(directory, "contexts", `${name}.json`), `${JSON.stringify(context, undefined, 2)}\n`),
    release: () => owned.release(),
    remove: () => owned.remove(),
  };
}

/** What stands in a NATS context file for a user of this broker. */
export function contextOf(url: string, user: BrokerUser): Record<string, string> {
  return {
    description: `pilotlight, ${user.role}`,
    url,
    user: user.user,
    password: user.password,
    ...(user.role === "operator" && { inbox_prefix: OPERATOR_INBOX }),
  };
}

async function readSecrets(path: string): Promise<Record<string, string>> {
  const found = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  try {
    const parsed: unknown = JSON.parse(found);
    if (typeof parsed === "object" && parsed !== null && Object.values(parsed).every((value) => typeof value === "string")) {
      return parsed as Record<string, string>;
    }
  } catch {
    // said below
  }
  throw new Fault("Conflict", `${path} is damaged; remove it and new credentials are made (old context files then stop working)`);
}
