/** What the nodes of a store have logged. Lines that are no JSON (what a runtime prints as it dies) are left out. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export interface NodeLine {
  readonly node: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export async function nodeLogs(store: string): Promise<NodeLine[]> {
  const directory = join(store, "logs");
  const lines: NodeLine[] = [];
  for (const file of await readdir(directory)) {
    for (const text of (await readFile(join(directory, file), "utf8")).split("\n"))
      if (text.startsWith("{") && text.endsWith("}")) lines.push(JSON.parse(text) as NodeLine);
  }
  return lines;
}
