/** Small ports that actors get from outside: clock, randomness, log, and stored records. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds with fractions; never jumps. For durations. */
  now(): number;
  /** Milliseconds since 1970 with fractions, moving steadily from process start. For records only. */
  epoch(): number;
  after(ms: number, action: () => void): Timer;
  every(ms: number, action: () => void): Timer;
  /** Runs after the current burst of messages; for batching. */
  soon(action: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A fresh id of `length` characters a–z, 0–9. */
  id(length: number): string;
}

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** A stored value with the revision that a compare-and-set needs. */
export interface Stored<T> {
  readonly key: string;
  readonly value: T;
  readonly revision: number;
}

/** One bucket of records. All rejections are Faults. */
export interface Bucket<T> {
  /** From the leader; undefined when absent. */
  get(key: string): Promise<Stored<T> | undefined>;
  /** Fault Conflict when it exists. Returns the revision. */
  create(key: string, value: T): Promise<number>;
  /** Fault Conflict unless `revision` is the newest. Returns the new revision. */
  update(key: string, value: T, revision: number): Promise<number>;
  /** Whatever was there: the last writer wins. Returns the revision. */
  put(key: string, value: T): Promise<number>;
  /** With `revision`: Fault Conflict unless it is the newest. A key that is absent is removed already. */
  remove(key: string, revision?: number): Promise<void>;
  /** Calls for each present record and then for every change; `value` undefined: removed. Resolves when the present ones are in. */
  watch(listener: (key: string, value: T | undefined, revision: number) => void): Promise<{ stop(): void }>;
}
