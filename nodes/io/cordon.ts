/** Whether a host was cordoned when it stopped: a file that is there or not, beside what the host keeps. */
import { access, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

export interface Cordon {
  readonly was: boolean;
  keep(cordoned: boolean): Promise<void>;
}

export async function openCordon(path: string): Promise<Cordon> {
  const was = await access(path).then(
    () => true,
    () => false,
  );
  return {
    was,
    async keep(cordoned) {
      await mkdir(dirname(path), { recursive: true });
      if (cordoned) await writeFile(path, "", { mode: 0o600 });
      else await rm(path, { force: true });
    },
  };
}
