/** Version records: reading several, and removing those that no function names any more. */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { FunctionRecord, VersionRecord } from "../../../protocol/vocabulary.ts";
import { versionKey } from "../../kit/registry.ts";
import type { RegistryPorts } from "./ports.ts";

/** Records asked for at a time. */
const ABREAST = 16;

/** The newest LIMITS.versionsShown versions of a function, newest first. One that is being removed may be missing. */
export async function newestVersions(ports: RegistryPorts, record: FunctionRecord): Promise<VersionRecord[]> {
  const numbers = [...record.versions].sort((a, b) => b - a).slice(0, LIMITS.versionsShown.value);
  const found = await abreast(numbers, (version) => ports.registry.version(record.account, record.name, version));
  return found.filter((version) => version !== undefined);
}

/** Removes version records. One that cannot be removed stays, unnamed, and is logged: nothing depends on it. */
export async function forgetVersions(ports: RegistryPorts, account: string, name: string, versions: readonly number[]): Promise<void> {
  await abreast(versions, async (version) => {
    try {
      await ports.versions.remove(versionKey(account, name, version));
    } catch (thrown) {
      ports.log.warn("an old version could not be removed", { account, name, version, error: Fault.from(thrown).message });
    }
  });
}

async function abreast<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += ABREAST) results.push(...(await Promise.all(items.slice(at, at + ABREAST).map(work))));
  return results;
}
