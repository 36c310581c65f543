/** The ports of the store of large bodies. All rejections are Faults. */
import type { BodyRef } from "../../protocol/bodies.ts";

/** Parts as frontends store and read them for callers, who may ask for anything. */
export interface PartStore {
  /** The same part again does no harm; another one in its place, or one that was removed, is Conflict. Throttled when the store is full. */
  put(account: string, id: string, part: number, bytes: Uint8Array): Promise<void>;
  /** Rejects with BodyUnavailable when it is not there (any more). */
  get(account: string, id: string, part: number): Promise<Uint8Array>;
  /** Removes what is there of a body of so many parts. */
  drop(account: string, id: string, parts: number): Promise<void>;
}

/** Whole bodies as hosts read and store them for functions. */
export interface BodyStore {
  /** Rejects with BodyUnavailable when a part is missing or the digest is another; Unavailable when the store does not answer. */
  read(account: string, ref: BodyRef, signal?: AbortSignal): Promise<Uint8Array>;
  /** Stores 1 to LIMITS.largeBody bytes, which must not change meanwhile. Rejects with Throttled when the store is full, or Unavailable. */
  write(account: string, bytes: Uint8Array, signal?: AbortSignal): Promise<BodyRef>;
  /** Removes a body that was read, as well as it goes. */
  drop(account: string, ref: BodyRef): void;
}
