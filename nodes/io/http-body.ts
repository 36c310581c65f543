/**
 * The body of an HTTP request: whole where it fits into a message, else piece by piece as it is asked for. Bounded in size, in pauses
 * and in time.
 */
import type { IncomingMessage } from "node:http";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { Gathered } from "./gathered.ts";
import type { StopSignal } from "./stop-signal.ts";

/** A body that is read as it comes: once, and no quicker than it is asked for. */
export interface Upload {
  /** As the client says. */
  readonly bytes: number | undefined;
  /** Throws Fault PayloadTooLarge, BadRequest, Cancelled, or what `hold` throws. */
  readonly pieces: AsyncIterable<Uint8Array>;
}

export interface BodyReader {
  /**
   * `hold` is told of each piece before it is kept, and may throw. Bodies that say that they have at most BODY_LIMIT bytes come whole.
   * Rejects with Fault PayloadTooLarge, BadRequest, Cancelled, or what `hold` throws.
   */
  read(request: IncomingMessage, hold: (bytes: number) => void, signal: StopSignal): Promise<Uint8Array | Upload>;
  stop(): void;
}

const NOTHING = new Uint8Array(0);
const LOOK_MS = 1_000;

/** One clock looks at all bodies under way. */
interface Reading {
  readonly began: number;
  heard: number;
  fail(fault: Fault): void;
}

export function openBodyReader(): BodyReader {
  const readings = new Set<Reading>();
  const clock = setInterval(() => {
    const now = performance.now();
    for (const reading of readings)
      if (now - reading.heard > LIMITS.httpBodyPause.value || now - reading.began > LIMITS.httpBodyTime.value) reading.fail(tooSlow());
  }, LOOK_MS);
  clock.unref();
  return {
    read(request, hold, signal) {
      const { "content-length": length, "transfer-encoding": coding } = request.headers;
      if (coding === undefined && (length === undefined || length === "0")) return Promise.resolve(NOTHING);
      const bytes = coding === undefined ? Number(length) : undefined;
      if (bytes !== undefined && bytes > LIMITS.largeBody.value) return Promise.reject(tooLarge());
      if (bytes === undefined || bytes > BODY_LIMIT) return Promise.resolve({ bytes, pieces: piecesOf(request, hold, signal) });
      return whole(request, hold, signal, readings);
    },
    stop: () => clearInterval(clock),
  };
}

/** Its length is known, and small: Node takes no byte more. */
function whole(request: IncomingMessage, hold: (bytes: number) => void, signal: StopSignal, readings: Set<Reading>): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const gathered = new Gathered();
    const began = performance.now();
    const fail = (fault: unknown): void => {
      end();
      request.pause();
      reject(fault);
    };
    const reading: Reading = { began, heard: began, fail };
    const onData = (piece: Uint8Array): void => {
      reading.heard = performance.now();
      try {
        hold(piece.length);
      } catch (thrown) {
        fail(thrown);
        return;
      }
      gathered.add(piece);
    };
    const onEnd = (): void => {
      end();
      resolve(gathered.whole());
    };
    const onGone = (): void => fail(gone());
    const end = (): void => {
      readings.delete(reading);
      signal.removeEventListener("abort", onGone);
      request.off("data", onData).off("end", onEnd).off("error", onGone);
    };
    request.on("data", onData).on("end", onEnd).on("error", onGone);
    readings.add(reading);
    if (signal.aborted) onGone();
    else signal.addEventListener("abort", onGone, { once: true });
  });
}

/** Time counts only while the client is waited for. */
async function* piecesOf(
  request: IncomingMessage,
  hold: (bytes: number) => void,
  signal: StopSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let wake = (): void => undefined;
  let isEnded = false;
  let isGone = signal.aborted;
  let leftMs: number = LIMITS.httpBodyTime.value;
  let size = 0;
  const onReadable = (): void => wake();
  const onEnd = (): void => {
    isEnded = true;
    wake();
  };
  const onGone = (): void => {
    isGone = true;
    wake();
  };
  request.on("readable", onReadable).on("end", onEnd).on("error", onGone);
  signal.addEventListener("abort", onGone, { once: true });
  try {
    for (;;) {
      if (isGone) throw gone();
      // All that is there, in one piece.
      const piece = request.read() as Uint8Array | null;
      if (piece !== null) {
        size += piece.length;
        if (size > LIMITS.largeBody.value) throw tooLarge();
        hold(piece.length);
        yield piece;
        continue;
      }
      if (isEnded) return;
      const began = performance.now();
      let isLate = false;
      await new Promise<void>((resolve) => {
        const late = (): void => {
          isLate = true;
          resolve();
        };
        const timer = setTimeout(late, Math.min(LIMITS.httpBodyPause.value, leftMs));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      leftMs -= performance.now() - began;
      if (isLate || leftMs <= 0) throw tooSlow();
    }
  } finally {
    signal.removeEventListener("abort", onGone);
    request.off("readable", onReadable).off("end", onEnd).off("error", onGone);
  }
}

const tooSlow = (): Fault => new Fault("BadRequest", "the body came too slowly", { limit: "httpBodyPause" });
const gone = (): Fault => new Fault("Cancelled", "the client closed the connection within the body");
const tooLarge = (): Fault =>
  new Fault("PayloadTooLarge", `the body has more than ${LIMITS.largeBody.value} bytes`, {
    next: "Store the data and send a reference to it.",
  });
