/** Puts a file of the host into an instance's code directory, which its containers see read-only. */
import { randomBytes } from "node:crypto";
import { chmod, copyFile, link, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../../protocol/errors.ts";

const FILE = /^[A-Za-z0-9-][A-Za-z0-9._-]{0,127}$/;

/** By hard link, else copy; written beside and renamed in, so that a container never sees half a file. Throws CodeUnavailable. */
export async function deliver(instanceDirectory: string, hostPath: string, name: string): Promise<void> {
  if (!FILE.test(name)) throw new Fault("Internal", `Bad file name ${name}.`);
  const target = join(instanceDirectory, "code", name);
  const beside = join(instanceDirectory, `${randomBytes(6).toString("hex")}.new`);
  try {
    // A link shares the file's mode: one that others cannot read has to be copied.
    if (((await stat(hostPath)).mode & 0o004) === 0) await copy(hostPath, beside);
    else await link(hostPath, beside).catch(() => copy(hostPath, beside));
    await rename(beside, target);
    // Renaming one link of a file over another does nothing and leaves both.
    await rm(beside, { force: true });
  } catch (error) {
    await rm(beside, { force: true });
    throw new Fault("CodeUnavailable", "The code could not be put where its containers see it.", undefined, error);
  }
}

async function copy(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await chmod(to, 0o644);
}
