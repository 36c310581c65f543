/**
 * Walks a directory that may be hostile: circles of links, links that lead out, pipes, devices, endless directories.
 *
 * T1  Numbers and sizes are checked before any file is read.
 * T2  Only regular files whose real path lies below the root are read, and never more bytes than were counted.
 * T3  The result is sorted by name, so the order of the file system does not matter.
 */
import { constants, type Dirent } from "node:fs";
import { type FileHandle, open, opendir, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { megabytes, shown, tooLarge } from "./bundle.ts";
import { reason, within } from "./entry.ts";

export interface TreeFile {
  /** Relative to the root, with `/`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Tree {
  readonly files: readonly TreeFile[];
  readonly warnings: readonly string[];
}

interface Found {
  readonly name: string;
  readonly real: string;
  readonly size: number;
}

/**
 * Reads everything below `root` (a real path) that `leaveOut` does not name. `leaveOut` sees the relative name of each
 * entry. Throws Fault BundleTooLarge, or BadRequest for what cannot be read.
 */
export async function readTree(root: string, leaveOut: (name: string, directory: boolean) => boolean): Promise<Tree> {
  const warnings: string[] = [];
  const found = await walk(root, leaveOut, warnings);
  const files: TreeFile[] = [];
  for (const { name, real, size } of found) {
    try {
      files.push({ name, bytes: await readBounded(real, size) });
    } catch (thrown) {
      throw new Fault("BadRequest", `${shown(name)} cannot be read: ${reason(thrown)}.`, undefined, thrown);
    }
  }
  return { files, warnings };
}

async function walk(root: string, leaveOut: (name: string, directory: boolean) => boolean, warnings: string[]): Promise<Found[]> {
  const found: Found[] = [];
  // Each directory carries the real paths above it: one that is its own ancestor is a circle.
  const waiting: { name: string; real: string; above: readonly string[] }[] = [{ name: "", real: root, above: [] }];
  let entries = 0;
  let bytes = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { name: parent, real: directory, above } = next;
    for await (const entry of await list(directory, parent)) {
      entries += 1;
      if (entries > LIMITS.bundleFiles.value) throw tooManyFiles();
      const name = parent === "" ? entry.name : `${parent}/${entry.name}`;
      if (leaveOut(name, entry.isDirectory())) continue;
      if (/[\p{Cc}\u2028\u2029\uFFFD\\]/u.test(entry.name) || entry.name === "__proto__") {
        warnings.push(`${shown(name)} was left out: its name cannot be part of a bundle.`);
        continue;
      }
      const target = await settle(root, join(directory, entry.name), entry, name, warnings);
      if (target === undefined) continue;
      if (target.directory) {
        if (leaveOut(name, true)) continue;
        if (target.real === directory || above.includes(target.real))
          warnings.push(`${shown(name)} was left out: it is a symbolic link to a directory above it.`);
        else waiting.push({ name, real: target.real, above: [...above, directory] });
        continue;
      }
      bytes += target.size;
      if (bytes > LIMITS.bundle.value)
        throw tooLarge(
          `The files have more than ${megabytes(LIMITS.bundle.value)} together (the last was ${shown(name)}, ${megabytes(target.size)})`,
        );
      found.push({ name, real: target.real, size: target.size });
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What an entry really is, behind a symbolic link too; undefined for what is left out. */
async function settle(
  root: string,
  path: string,
  entry: Dirent,
  name: string,
  warnings: string[],
): Promise<{ real: string; directory: boolean; size: number } | undefined> {
  let real = path;
  try {
    if (entry.isSymbolicLink()) {
      real = await realpath(path);
      if (!within(root, real)) {
        warnings.push(`${shown(name)} was left out: it is a symbolic link that leads out of the directory.`);
        return undefined;
      }
    }
    const info = await stat(real);
    if (info.isDirectory() || info.isFile()) return { real, directory: info.isDirectory(), size: info.size };
    warnings.push(`${shown(name)} was left out: it is neither a file nor a directory.`);
  } catch (thrown) {
    warnings.push(`${shown(name)} was left out: ${reason(thrown)}.`);
  }
  return undefined;
}

async function list(directory: string, name: string) {
  try {
    return await opendir(directory);
  } catch (thrown) {
    throw new Fault("BadRequest", `${name === "" ? "The directory" : shown(name)} cannot be read: ${reason(thrown)}.`, undefined, thrown);
  }
}

/** Reads at most `size` bytes, and does not hang when the file has become a pipe meanwhile. */
async function readBounded(path: string, size: number): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const bytes = Buffer.alloc(size);
    let at = 0;
    while (at < size) {
      const { bytesRead } = await file.read(bytes, at, size - at, at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return bytes.subarray(0, at);
  } finally {
    await file?.close();
  }
}

function tooManyFiles(): Fault {
  const most = LIMITS.bundleFiles.value;
  return new Fault("BundleTooLarge", `The directory holds more than ${most} files; a bundle is made of ${most} at most.`);
}
