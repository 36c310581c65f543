/** Removes what a killed agent left behind: processes in its groups, the groups, and its directory. */
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { clearGroup, until } from "./clear.ts";
import type { Groups } from "./groups.ts";
import { OWNER_FILE } from "./owner.ts";

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
  await removeDirectory(runDirectory);
  return complaints.filter((complaint) => complaint !== "");
}

// The owner's file goes last and the directory only when empty: a new agent that moves in meanwhile must see who is still at work.
async function removeDirectory(path: string): Promise<void> {
  const names = await readdir(path).catch(() => []);
  await Promise.all(names.filter((name) => name !== OWNER_FILE).map((name) => rm(join(path, name), { recursive: true, force: true })));
  await rm(join(path, OWNER_FILE), { force: true });
  await rmdir(path).catch(() => {});
}
