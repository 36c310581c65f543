/** Reads what a user hands to a command: a file or a stream, bounded, so that a wrong path cannot fill the memory. */
import { open } from "node:fs/promises";
import { Fault } from "../../protocol/errors.ts";

/** The whole file. Throws Fault BadRequest when it cannot be read, PayloadTooLarge above `most` bytes. */
export async function readFileWithin(path: string, most: number): Promise<Uint8Array> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch (error) {
    throw new Fault("BadRequest", `${path} cannot be read: ${(error as Error).message}`, undefined, error);
  }
  try {
    return await readStreamWithin(file.createReadStream({ autoClose: false }), most, path);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault("BadRequest", `${path} cannot be read: ${(error as Error).message}`, undefined, error);
  } finally {
    await file.close();
  }
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
