/** Accounts: made at the first deploy or by hand, and the parameters that bound every run of theirs (F006). */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { DEFAULT_ACCOUNT } from "../../../protocol/names.ts";
import type { AccountRecord } from "../../../protocol/vocabulary.ts";
import type { Stored } from "../../kit/ports.ts";
import { confirm } from "./confirm.ts";
import type { RegistryPorts } from "./ports.ts";
import { change, isConflict, retried } from "./write.ts";

/** What an operator wants changed; what is absent stays. */
export interface AccountChange {
  readonly account: string;
  /** True: it must not exist yet. */
  readonly create: boolean;
  /** null: no bound but the platform's. */
  readonly timeoutMs?: number | null | undefined;
  readonly memoryMb?: number | null | undefined;
  readonly containers?: number | undefined;
  readonly active?: boolean | undefined;
}

const fresh = (name: string, at: number): AccountRecord => ({
  name,
  containers: LIMITS.containersPerAccount.value,
  active: true,
  createdAt: at,
});

/** The account's record, made with the defaults when there is none. Faults: the bucket's. */
export function ensureAccount(ports: RegistryPorts, name: string): Promise<Stored<AccountRecord>> {
  return retried(name, async () => {
    const stored = await ports.accounts.get(name);
    if (stored) return stored;
    const value = fresh(name, ports.clock.epoch());
    return { key: name, value, revision: await ports.accounts.create(name, value) };
  });
}

/**
 * Faults: BadRequest when it exists and `create` was asked for; NotFound when it does not and was not, but for the default account,
 * which may be changed before its first deploy; Conflict.
 */
export async function setAccount(
  ports: RegistryPorts,
  wanted: AccountChange,
): Promise<{ readonly account: AccountRecord; readonly unconfirmed: string[] }> {
  const name = wanted.account;
  const stored = await change(ports.accounts, name, (now) => {
    if (now && wanted.create) throw new Fault("BadRequest", `account ${name} exists already`);
    if (!now && !wanted.create && name !== DEFAULT_ACCOUNT) throw new Fault("NotFound", `there is no account ${name}`);
    return merged(now ?? fresh(name, ports.clock.epoch()), wanted);
  });
  const unconfirmed = await confirm(ports, { account: { key: name, revision: stored.revision, record: stored.value } });
  return { account: stored.value, unconfirmed };
}

/**
 * Removes an account without functions. A deploy that made it meanwhile finds it again: what was removed is put back.
 * Faults: NotFound, BadRequest while it has functions, Conflict, and the bucket's.
 */
export async function removeAccount(ports: RegistryPorts, name: string): Promise<{ readonly unconfirmed: string[] }> {
  const gone = await retried(name, async () => {
    const stored = await ports.accounts.get(name);
    if (!stored) throw new Fault("NotFound", `there is no account ${name}`);
    refuseInUse(ports, name);
    await ports.accounts.remove(name, stored.revision);
    return stored;
  });
  try {
    refuseInUse(ports, name);
  } catch (thrown) {
    await ports.accounts.create(name, gone.value).catch((error: unknown) => {
      if (!isConflict(error)) throw error;
    });
    throw thrown;
  }
  // The removal's own revision is at least that, and that of an account made later is higher still.
  const unconfirmed = await confirm(ports, { account: { key: name, revision: gone.revision + 1, record: null } });
  ports.log.info("account removed", { account: name, unconfirmed });
  return { unconfirmed };
}

/** Every write of any scheduler reaches this picture before the writer's answer. */
function refuseInUse(ports: RegistryPorts, name: string): void {
  const owned = [...ports.registry.functions()].filter((record) => record.account === name).length;
  if (owned > 0)
    throw new Fault(
      "BadRequest",
      `account ${name} still has ${owned} function${owned === 1 ? "" : "s"}: remove them first (pilot fn ls --account ${name})`,
    );
}

/** Sorted by name. */
export function listAccounts(ports: RegistryPorts): { readonly accounts: AccountRecord[] } {
  return { accounts: [...ports.registry.accounts()].sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

function merged(now: AccountRecord, wanted: AccountChange): AccountRecord {
  const timeoutMs = wanted.timeoutMs === undefined ? now.timeoutMs : wanted.timeoutMs;
  const memoryMb = wanted.memoryMb === undefined ? now.memoryMb : wanted.memoryMb;
  return {
    name: now.name,
    ...(timeoutMs !== undefined && timeoutMs !== null && { timeoutMs }),
    ...(memoryMb !== undefined && memoryMb !== null && { memoryMb }),
    containers: wanted.containers ?? now.containers,
    active: wanted.active ?? now.active,
    createdAt: now.createdAt,
  };
}
