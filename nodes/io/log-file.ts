/** A file that is appended to and never grows over its bound: when half of it is full it becomes `<path>.1`. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

export interface LogFile {
  /** Appends; what cannot be written (full disk) is dropped and counted. */
  write(bytes: Uint8Array): void;
  /** Bytes dropped so far. */
  dropped(): number;
  close(): void;
}

/** Opens for append. `limitBytes` bounds this file and its one predecessor together. */
export function openLogFile(path: string, limitBytes: number): LogFile {
  let descriptor = openSync(path, "a", 0o600);
  let size = fstatSync(descriptor).size;
  let dropped = 0;
  let open = true;
  const half = Math.floor(limitBytes / 2);
  return {
    write(bytes) {
      if (!open) return;
      try {
        if (size > 0 && size + bytes.length > half) {
          closeSync(descriptor);
          renameSync(path, `${path}.1`);
          descriptor = openSync(path, "a", 0o600);
          size = 0;
        }
        const kept = bytes.length > half ? bytes.subarray(bytes.length - half) : bytes;
        dropped += bytes.length - kept.length;
        size += writeSync(descriptor, kept);
      } catch {
        dropped += bytes.length;
      }
    },
    dropped: () => dropped,
    close() {
      if (!open) return;
      open = false;
      closeSync(descriptor);
    },
  };
}
