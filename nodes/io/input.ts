/** Reads what a user hands to a command: a file or a stream, bounded, so that a wrong path cannot fill the memory. */
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
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

/** A file that is read as it is asked for. */
export interface LargeFile {
  readonly bytes: number;
  /** Once. Throws Fault BadRequest when it cannot be read, or is not as long any more. */
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** A regular file of more than `least` bytes; undefined for others, and for what cannot be looked at. Throws Fault PayloadTooLarge above `most`. */
export async function openLargeFile(path: string, least: number, most: number): Promise<LargeFile | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true || found.size <= least) return undefined;
  if (found.size > most) throw new Fault("PayloadTooLarge", `${path} has more than ${most} bytes`);
  const read = async function* (): AsyncGenerator<Uint8Array> {
    let size = 0;
    try {
      for await (const piece of createReadStream(path, { highWaterMark: 1_048_576 }) as AsyncIterable<Uint8Array>) {
        size += piece.length;
        yield piece;
      }
    } catch (error) {
      throw unreadable(path, error);
    }
    if (size !== found.size) throw new Fault("BadRequest", `${path} changed while it was read`);
  };
  return { bytes: found.size, pieces: read() };
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
