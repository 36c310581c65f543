/** What a debug bundle needs of this machine's files: the logs and secrets of a local store, and the zip that is written. */
import { access, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { strToU8, zipSync } from "fflate";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";

export interface LocalFile {
  readonly name: string;
  readonly text: string;
}

/** The end of each log of the store's nodes and of its broker, whole lines, LIMITS.bundleLog bytes of each at most. */
export async function readLogs(store: string): Promise<LocalFile[]> {
  const names = (await readdir(join(store, "logs")).catch(() => [])).filter((name) => /^[A-Za-z0-9_-]+\.log(?:\.1)?$/.test(name)).sort();
  const paths = [
    ...names.map((name) => [name, join(store, "logs", name)] as const),
    ["broker.log", join(store, "broker", "server.log")] as const,
  ];
  const files: LocalFile[] = [];
  for (const [name, path] of paths) {
    const text = await readEnd(path, LIMITS.bundleLog.value).catch(() => undefined);
    if (text !== undefined && text !== "") files.push({ name, text });
  }
  return files;
}

/** Every secret that the store holds: passwords, tokens, seeds and credentials of all its users. What cannot be read holds none for us. */
export async function readSecrets(store: string): Promise<string[]> {
  const contexts = (await readdir(join(store, "contexts")).catch(() => [])).map((name) => join(store, "contexts", name));
  const found: string[] = [];
  for (const path of [join(store, "secrets.json"), ...contexts]) {
    const parsed = await readFile(path, "utf8").then(JSON.parse, () => undefined);
    if (typeof parsed !== "object" || parsed === null) continue;
    const isSecrets = path.endsWith("secrets.json");
    for (const [name, value] of Object.entries(parsed as Record<string, unknown>))
      if (typeof value === "string" && (isSecrets || SECRET_FIELDS.has(name))) found.push(value);
  }
  return found;
}

const SECRET_FIELDS: ReadonlySet<string> = new Set(["password", "token", "nkey", "user_jwt", "user_seed", "creds"]);

/** Fault Conflict when the file is there already: to be said before the work, and not after it. */
export async function refuseExisting(path: string): Promise<void> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw existing(path);
}

const existing = (path: string): Fault =>
  new Fault("Conflict", `${path} is there already`, { next: "Give another name with --out, or remove it." });

/** Rejects with Fault Conflict when the file is there already, and leaves no half of one. Only its owner may read it. Resolves with its size. */
export async function writeZip(path: string, files: readonly LocalFile[]): Promise<number> {
  const bytes = zipSync(Object.fromEntries(files.map(({ name, text }) => [name, strToU8(text)])), { level: 6 });
  const file = await open(path, "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw existing(path);
    throw new Fault("BadRequest", `${path} cannot be written: ${error.message}`, undefined, error);
  });
  try {
    await file.writeFile(bytes);
    await file.close();
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    throw new Fault("BadRequest", `${path} cannot be written: ${(error as Error).message}`, undefined, error);
  }
  return bytes.length;
}

async function readEnd(path: string, limit: number): Promise<string> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - limit);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const text = buffer.subarray(0, bytesRead).toString("utf8");
    return from === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    await file.close();
  }
}
