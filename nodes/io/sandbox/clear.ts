/** Empties and removes a control group: kills until nobody is left, then removes it, for as long as the kernel says busy. */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "../../../protocol/limits.ts";
import type { GroupName, Groups } from "./groups.ts";

/** Resolves with a complaint when something is still left after LIMITS.clear, else with undefined. */
export async function clearGroup(groups: Groups | undefined, name: GroupName): Promise<string | undefined> {
  if (groups === undefined) return undefined;
  return until(() => {
    const members = groups.members(name);
    if (members.length > 0) groups.kill(name);
    return members.length === 0 && groups.remove(name);
  }, `group ${name.instance}/${name.container} could not be removed`);
}

/** Tries again, less and less often, until it is true; resolves with the complaint when it never is. */
export async function until(attempt: () => boolean, complaint: string): Promise<string | undefined> {
  const deadline = performance.now() + LIMITS.clear.value;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    if (attempt()) return undefined;
    if (performance.now() > deadline) return complaint;
    await sleep(pause);
  }
}
