/**
 * A file that is appended to and never grows over its bound: when half of it is full it becomes `<path>.1`. A disk that refuses costs lines,
 * never more: each write tries anew.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

export interface LogFile {
  /** Appends; what cannot be written (full disk) is dropped and counted. */
  write(bytes: Uint8Array): void;
  /** Bytes dropped so far. */
  dropped(): number;
  close(): void;
}

/**
 * Opens for append; never throws. `limitBytes` bounds this file and its one predecessor together. `complain` hears in a sentence when the
 * disk begins to refuse.
 */
export function openLogFile(path: string, limitBytes: number, complain: (sentence: string) => void = () => undefined): LogFile {
  let descriptor: number | undefined;
  let size = 0;
  let dropped = 0;
  let isOpen = true;
  let isRefused = false;
  let isTorn = false;
  const half = Math.floor(limitBytes / 2);

  const begin = (): number => {
    descriptor = openSync(path, "a", 0o600);
    size = fstatSync(descriptor).size;
    return descriptor;
  };
  /** The file with room for so many bytes. Throws what the disk says. */
  const roomFor = (bytes: number): number => {
    const file = descriptor ?? begin();
    if (size === 0 || size + bytes <= half) return file;
    try {
      renameSync(path, `${path}.1`);
    } catch (error) {
      // Somebody removed it, or moved it away: that makes room too.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    closeSync(file);
    descriptor = undefined;
    return begin();
  };
  const refused = (error: unknown): void => {
    if (!isRefused)
      complain(`The log ${path} cannot be written, and loses lines: ${error instanceof Error ? error.message : String(error)}.`);
    isRefused = true;
  };

  try {
    roomFor(0);
  } catch (error) {
    refused(error);
  }
  return {
    write(bytes) {
      if (!isOpen) return;
      const kept = bytes.length > half ? bytes.subarray(bytes.length - half) : bytes;
      dropped += bytes.length - kept.length;
      let written = 0;
      try {
        const file = roomFor(kept.length);
        if (isTorn) size += writeSync(file, "\n");
        isTorn = false;
        written = writeSync(file, kept);
        size += written;
        isTorn = written < kept.length;
        isRefused &&= isTorn;
      } catch (error) {
        refused(error);
      }
      dropped += kept.length - written;
    },
    dropped: () => dropped,
    close() {
      if (!isOpen) return;
      isOpen = false;
      if (descriptor !== undefined) closeSync(descriptor);
    },
  };
}
