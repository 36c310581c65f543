/** Finds the folders of examples/ and what they say of themselves. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Each folder below `<root>/examples` with the text of its pilot.json, in the order of the course. */
export async function readExampleFiles(root: string): Promise<{ readonly folder: string; readonly description: string }[]> {
  const directory = join(root, "examples");
  const folders = (await readdir(directory, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(directory, name));
  return Promise.all(folders.sort().map(async (folder) => ({ folder, description: await readFile(join(folder, "pilot.json"), "utf8") })));
}
