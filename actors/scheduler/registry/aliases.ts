/** Pointing aliases at versions. Pure. */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { isAlias, LIVE_ALIAS } from "../../../protocol/names.ts";
import type { AliasShare, FunctionRecord } from "../../../protocol/vocabulary.ts";

type Aliases = FunctionRecord["aliases"];

/**
 * The function's aliases with one changed; null removes it. Throws BadName when it could be mistaken for a version, BadRequest
 * when the shares make no sense or there are LIMITS.aliases already, FunctionNotFound for a version that does not exist, NotFound
 * for the removal of what is not there.
 */
export function withAlias(record: FunctionRecord, alias: string, shares: readonly AliasShare[] | null): Aliases {
  if (!isAlias(alias)) throw new Fault("BadName", `${alias} is no name for an alias: versions are numbers`);
  const aliases = new Map(Object.entries(record.aliases));
  if (shares === null) {
    if (alias === LIVE_ALIAS) throw new Fault("BadRequest", `the alias ${LIVE_ALIAS} cannot be removed: calls without qualifier go there`);
    if (!aliases.delete(alias)) throw new Fault("NotFound", `function ${record.account}.${record.name} has no alias ${alias}`);
    return Object.fromEntries(aliases);
  }
  checkShares(record, shares);
  aliases.set(alias, shares);
  if (aliases.size > LIMITS.aliases.value) throw new Fault("BadRequest", `a function may have ${LIMITS.aliases.value} aliases`);
  return Object.fromEntries(aliases);
}

/** Splits a function's versions into those to keep and those to remove: above `most`, the oldest that no alias names. */
export function surplus(
  versions: readonly number[],
  aliases: Aliases,
  most: number,
): { readonly kept: number[]; readonly removed: number[] } {
  const named = new Set(Object.values(aliases).flatMap((shares) => shares.map((share) => share.version)));
  const kept: number[] = [];
  const removed: number[] = [];
  let over = versions.length - most;
  for (const version of [...versions].sort((a, b) => a - b)) {
    if (over > 0 && !named.has(version)) {
      removed.push(version);
      over--;
    } else kept.push(version);
  }
  return { kept, removed };
}

function checkShares(record: FunctionRecord, shares: readonly AliasShare[]): void {
  const total = shares.reduce((sum, share) => sum + share.weight, 0);
  if (total !== 100) throw new Fault("BadRequest", `the weights of an alias sum to 100, these to ${total}`);
  const seen = new Set<number>();
  for (const { version } of shares) {
    if (seen.has(version)) throw new Fault("BadRequest", `version ${version} is named twice`);
    if (!record.versions.includes(version)) {
      throw new Fault("FunctionNotFound", `function ${record.account}.${record.name} has no version ${version}`);
    }
    seen.add(version);
  }
}
