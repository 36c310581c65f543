/** Reads what a user hands to a command: a file or a stream, bounded, so that a wrong path cannot fill the memory. */
import { open } from "node:fs/promises";
import { Fault } from "../../protocol/errors.ts";

/** The whole file. Throws Fault BadRequest when it cannot be read, PayloadTooLarge above `most` bytes. */
export async function readFileWithin(path: string, most: number): Promise<Uint8Array> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    return await readStreamWithin(file.createReadStream({ autoClose: false }), most, path);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw unreadable(path, error);
  } finally {
    await file.close();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EISDIR: "it is a directory",
  EACCES: "this user may not read it",
};

function unreadable(path: string, error: unknown): Fault {
  const { code, message } = error as NodeJS.ErrnoException;
  return new Fault("BadRequest", `${path} cannot be read: ${REASONS[code ?? ""] ?? message}`, undefined, error);
}

/** The whole stream. Throws Fault PayloadTooLarge as soon as it has more than `most` bytes. */
export async function readStreamWithin(stream: AsyncIterable<Uint8Array | string>, most: number, what: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    const bytes = typeof part === "string" ? Buffer.from(part) : part;
    size += bytes.length;
    if (size > most) throw new Fault("PayloadTooLarge", `${what} has more than ${most} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}
