/**
 * Whose run directory it is: one agent and its spawner, by pid and start time. A second live agent is refused;
 * the spawner of a dead one is ended before its leftovers are swept.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { killAll } from "./group-files.ts";
import { alive, startTime } from "./process-table.ts";
import { writeWhole } from "./whole-file.ts";

export const OWNER_FILE = "owner";

interface Identity {
  readonly pid: number;
  readonly started: string | undefined;
}

interface Owner {
  readonly agent: Identity;
  readonly spawner?: Identity;
}

const identity = (pid: number): Identity => ({ pid, started: startTime(pid) });

function same(who: Identity): boolean {
  return alive(who.pid) && startTime(who.pid) === who.started;
}

/** Writes down this process and its spawner as owners. */
export function writeOwner(runDirectory: string, spawner?: number): void {
  const owner: Owner = { agent: identity(process.pid), ...(spawner === undefined ? {} : { spawner: identity(spawner) }) };
  writeWhole(join(runDirectory, OWNER_FILE), JSON.stringify(owner), 0o600);
}

/** Makes sure that nobody else is at work here. Throws Conflict when a live agent is, be it this process. */
export async function takeOver(runDirectory: string): Promise<void> {
  let owner: Owner;
  try {
    owner = JSON.parse(readFileSync(join(runDirectory, OWNER_FILE), "utf8")) as Owner;
  } catch {
    return;
  }
  if (same(owner.agent)) {
    throw new Fault(
      "Conflict",
      `Process ${owner.agent.pid} already runs sandboxes in ${runDirectory}. Stop it, or choose another directory.`,
    );
  }
  const spawner = owner.spawner;
  if (spawner === undefined || !same(spawner)) return;
  killAll([spawner.pid]);
  for (let waited = 0; same(spawner) && waited < LIMITS.clear.value; waited += 5) await sleep(5);
}
