/** How one part of a large body goes and comes, and how often that is tried. */
import { type BodyRef, partRange } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { StopSignal } from "./stop-signal.ts";

/** All rejections are Faults. */
export interface PartCarrier {
  put(id: string, part: number, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  get(id: string, part: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Removes the first parts of a body that is not used, as well as it goes. Never throws. */
  drop?(id: string, parts: number): void;
}

export interface BodyOptions {
  /** Ends the work with Fault Cancelled, or with the signal's reason where that is a Fault. */
  readonly signal?: StopSignal | undefined;
  /** Told after each part. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/** A signal for the parts of one body, which ends with the outer one or by `end`. */
export interface PartsEnd {
  readonly signal: AbortSignal;
  end(fault: Fault): void;
  /** Forgets the outer signal. */
  release(): void;
}

export function partsEnd(outer: StopSignal | undefined): PartsEnd {
  const inner = new AbortController();
  const abort = (): void => inner.abort(outer?.reason instanceof Fault ? outer.reason : cancelled());
  if (outer?.aborted === true) abort();
  outer?.addEventListener("abort", abort, { once: true });
  return {
    signal: inner.signal,
    end: (fault) => inner.abort(fault),
    release: () => outer?.removeEventListener("abort", abort),
  };
}

/** Tries one step again while the platform says later, LIMITS.bodyAttempts times in all. Rejects with its Fault, or the signal's reason. */
export async function patiently<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await step();
    } catch (thrown) {
      const fault = Fault.from(thrown);
      const isLater = fault.name === "Unavailable" || fault.name === "Throttled" || fault.name === "Draining";
      if (!isLater || attempt >= LIMITS.bodyAttempts.value || signal.aborted) throw fault;
      const asked = fault.details?.["retryAfterMs"];
      await pause(Math.min(LONGEST_PAUSE_MS, typeof asked === "number" ? asked : FIRST_PAUSE_MS * 2 ** attempt), signal);
    }
  }
}

/** One part of a body, of the length that it must have. Rejects with BodyUnavailable, or as the carrier does. */
export async function readPart(carrier: PartCarrier, ref: BodyRef, part: number, signal: AbortSignal): Promise<Uint8Array> {
  const { from, to } = partRange(ref.bytes, part);
  const piece = await patiently(signal, () => carrier.get(ref.id, part, signal));
  if (piece.length === to - from) return piece;
  throw new Fault("BodyUnavailable", `part ${part} of the large body has ${piece.length} bytes instead of ${to - from}`);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

const cancelled = (): Fault => new Fault("Cancelled", "the caller cancelled the transfer of a large body");
