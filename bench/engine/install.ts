/**
 * Peers bring packages of their own. They are installed when they are asked for, into a cache directory outside the
 * checkout, one per version of the peer's folder.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "../../protocol/errors.ts";

const run = promisify(execFile);
const INSTALL_MS = 300_000;

/** Copies a folder into the cache and runs `npm install` there, once. Resolves with its place. Rejects with Fault Unavailable. */
export async function installPeer(folder: string): Promise<string> {
  const place = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "pilotlight",
    "bench",
    `${basename(folder)}-${await digestOf(folder)}`,
  );
  if (existsSync(place)) return place;
  await mkdir(dirname(place), { recursive: true });
  const room = await mkdtemp(`${place}-`);
  try {
    await cp(folder, room, { recursive: true });
    await run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"], { cwd: room, timeout: INSTALL_MS });
    // Whoever comes second finds the place taken and uses it.
    await rename(room, place).catch((error: unknown) => {
      if (!existsSync(place)) throw error;
    });
    return place;
  } catch (thrown) {
    const said = thrown instanceof Error ? (thrown.message.trim().split("\n").at(-1) ?? "") : String(thrown);
    throw new Fault("Unavailable", `its packages cannot be installed: ${said}`, undefined, thrown);
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}

async function digestOf(folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(folder)).sort()) hash.update(name).update(await readFile(join(folder, name)));
  return hash.digest("hex").slice(0, 12);
}

/** Path of a program; as root on Debian its package is installed first. Rejects with Fault Unavailable and the command that installs it. */
export async function needProgram(program: string, debianPackage: string): Promise<string> {
  const found = find(program);
  if (found !== undefined) return found;
  const advice = `${program} is not there; on Debian: sudo apt-get install ${debianPackage}`;
  if (process.getuid?.() !== 0 || find("apt-get") === undefined) throw new Fault("Unavailable", advice);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const apt = (...words: string[]): Promise<unknown> => run("apt-get", words, { env: environment, timeout: INSTALL_MS });
  const install = (): Promise<unknown> => apt("install", "-y", "-qq", "--no-install-recommends", debianPackage);
  await install()
    .catch(() => apt("update", "-qq").then(install))
    .catch((thrown: unknown) => {
      throw new Fault("Unavailable", advice, undefined, thrown);
    });
  const installed = find(program);
  if (installed === undefined) throw new Fault("Unavailable", advice);
  return installed;
}

function find(program: string): string | undefined {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return directories.map((directory) => join(directory, program)).find((path) => existsSync(path));
}
