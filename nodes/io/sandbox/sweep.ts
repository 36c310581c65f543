/** Removes what a killed agent left behind: processes in its groups, the groups, and its directory. */
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { clearGroup, until } from "./clear.ts";
import { killAll } from "./group-files.ts";
import type { Groups } from "./groups.ts";
import { OWNER_FILE } from "./owner.ts";
import { strays } from "./process-table.ts";

/** What an agent makes in its run directory: its door, its instances, the roots of boxes. */
const RUN_ENTRIES = ["agent", "i", "root"] as const;

/** Empties every group below the root and removes the directory's contents. Returns complaints about what stayed. */
export async function sweep(groups: Groups | undefined, runDirectory: string): Promise<string[]> {
  const complaints: string[] = [];
  if (groups !== undefined) {
    await Promise.all(
      groups.list().map(async ({ instance, containers }) => {
        for (const container of containers) complaints.push((await clearGroup(groups, { instance, container })) ?? "");
        complaints.push((await until(() => groups.removeInstance(instance), `group ${instance} could not be removed`)) ?? "");
      }),
    );
    if (!groups.removeRoot()) complaints.push("the root group could not be removed");
  }
  const stay = await until(() => {
    const found = strays(join(runDirectory, "i"));
    killAll(found);
    return found.length === 0;
  }, "stray processes could not be ended");
  complaints.push(stay ?? "");
  await removeRunDirectory(runDirectory);
  return complaints.filter((complaint) => complaint !== "");
}

/**
 * Removes what is ours in a run directory, and the directory itself when nothing else is in it. The owner's file goes
 * last: a new agent that moves in meanwhile must see who is still at work.
 */
export async function removeRunDirectory(path: string): Promise<void> {
  await Promise.all(RUN_ENTRIES.map((name) => rm(join(path, name), { recursive: true, force: true })));
  await rm(join(path, OWNER_FILE), { force: true });
  await rmdir(path).catch(() => {});
}
