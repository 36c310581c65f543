/**
 * Watches the disk of a broker of ours. A nats-server that could not write for want of room says so in its log only, and goes on refusing
 * silently when there is room again: 2.14 for each stream that it happened to, 2.9 for all. It has to be started anew then.
 *
 * R1  Nothing is started anew while the disk is full, nor sooner after the last start than LIMITS.brokerRoomPause.
 */
import { open, stat, statfs } from "node:fs/promises";
import type { Clock } from "../../../actors/kit/ports.ts";
import { LIMITS } from "../../../protocol/limits.ts";

export interface RoomOrder {
  /** Where JetStream keeps its data. */
  readonly data: string;
  readonly logFile: string;
  /** How long the log was before this broker was started, in bytes. */
  readonly logFrom: number;
  readonly clock: Pick<Clock, "now" | "every">;
  readonly say: (sentence: string) => void;
  /** Ends the broker in order; whoever keeps it starts it again. Called once. */
  readonly again: () => void;
}

/** Looks once in LIMITS.brokerRoomLook until stopped. */
export function watchRoom(order: RoomOrder): { stop(): void } {
  const { data, logFile, clock, say, again } = order;
  const began = clock.now();
  let read = order.logFrom;
  let full = false;
  let looking = false;
  let over = false;

  const look = async (): Promise<void> => {
    const size = (await stat(logFile)).size;
    // The server begins it anew when it is long.
    const from = read > size ? 0 : read;
    read = size;
    if (!full && size > from && (await saysFull(logFile, from, size))) {
      full = true;
      say("the broker's disk is full: deploys and records are refused, calls go on");
    }
    if (!full || clock.now() - began < LIMITS.brokerRoomPause.value) return;
    const { bavail, bsize } = await statfs(data);
    if (over || bavail * bsize < LIMITS.brokerRoom.value) return;
    over = true;
    say("there is room again on the broker's disk; the broker is started anew, since it would refuse to write until then");
    again();
  };
  const timer = clock.every(LIMITS.brokerRoomLook.value, () => {
    if (looking || over) return;
    looking = true;
    // A disk that cannot be looked at is looked at again.
    void look()
      .catch(() => undefined)
      .finally(() => {
        looking = false;
      });
  });
  return {
    stop() {
      over = true;
      timer.cancel();
    },
  };
}

/** Bytes of a file; 0 when there is none. */
export const lengthOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );

/** Most of what is new in a log that is read at one look; it says the same again and again. */
const MOST = 256 * 1024;

async function saysFull(logFile: string, from: number, to: number): Promise<boolean> {
  const file = await open(logFile);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(to - from, MOST)), 0, undefined, from);
    return buffer.subarray(0, bytesRead).includes("no space left on device");
  } finally {
    await file.close();
  }
}
