/** Files that are read while they are written anew: a reader gets one content or the other, never a part. */
import { renameSync, writeFileSync } from "node:fs";

/** Replaces a file; whoever has it open goes on reading what it was. */
export function writeWhole(path: string, content: string, mode: number): void {
  const beside = `${path}.new`;
  writeFileSync(beside, content, { mode });
  renameSync(beside, path);
}
