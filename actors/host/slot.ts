/**
 * All containers of one code and size on this host, and the calls that wait for one of them: one queue over all.
 * A container that becomes free takes the next call at once.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { AdmissionView } from "./admission.ts";
import { isShort } from "./ahead.ts";
import type { Call } from "./call.ts";
import type { Container } from "./container.ts";
import type { FunctionStats } from "./functions.ts";
import type { CodeOf } from "./provision.ts";

/** Bytes that wait inside the host, over all slots. */
export interface QueueBytes {
  used: number;
}

export class Slot {
  readonly key: string;
  /** account.function.version, or the digest in place of the version for inline code. */
  readonly codeKey: string;
  readonly account: string;
  readonly function: string;
  /** 0 for inline code. */
  readonly version: number;
  readonly memoryMb: number;
  readonly stats: FunctionStats;
  keepAliveMs: number;
  /** Its function or account was removed: what becomes idle has no further use. */
  isOver = false;
  /** Least recently used first; the last one is taken. */
  readonly idle: Container[] = [];
  readonly busy = new Set<Container>();
  /** Containers that are booted or loaded for this slot. */
  loading = 0;
  /** What its containers load; undefined until one was made. */
  code: CodeOf | undefined = undefined;
  /** Grants that name this slot: it is kept while there is one. */
  grants = 0;
  /** No further container of the function is allowed anywhere, as the grant says; false without one. */
  isFull = false;
  readonly #queue: Call[] = [];
  readonly #bytes: QueueBytes;

  constructor(of: {
    key: string;
    codeKey: string;
    account: string;
    function: string;
    version: number;
    memoryMb: number;
    keepAliveMs: number;
    stats: FunctionStats;
    bytes: QueueBytes;
  }) {
    this.key = of.key;
    this.codeKey = of.codeKey;
    this.account = of.account;
    this.function = of.function;
    this.version = of.version;
    this.memoryMb = of.memoryMb;
    this.keepAliveMs = of.keepAliveMs;
    this.stats = of.stats;
    this.#bytes = of.bytes;
  }

  /** Containers that serve, or will. */
  get containers(): number {
    return this.idle.length + this.busy.size + this.loading;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** Calls that were sent ahead into its busy containers. */
  get ahead(): number {
    let sum = 0;
    for (const container of this.busy) sum += container.ahead.length;
    return sum;
  }

  /** What a further call would find here (admission.ts). */
  get load(): Pick<AdmissionView, "queued" | "slots" | "meanRunMs" | "isFull" | "isShort"> {
    const { meanRunMs, meanInsideMs } = this.stats;
    return {
      queued: this.queued + this.ahead,
      slots: this.busy.size + this.loading,
      meanRunMs,
      isFull: this.isFull,
      isShort: isShort(meanInsideMs ?? meanRunMs),
    };
  }

  /** The call that waits for longest. */
  get first(): Call | undefined {
    return this.#queue[0];
  }

  /** Those that wait, oldest first. */
  waiting(): Iterable<Call> {
    return this.#queue;
  }

  hasRoom(bytes: number): boolean {
    return this.#queue.length < LIMITS.hostQueue.value && this.#bytes.used + bytes <= LIMITS.hostQueueBytes.value;
  }

  /** Legal while hasRoom. The body is copied, since it waits longer than the buffer it came in should live. */
  enqueue(call: Call): void {
    call.body = call.body.slice();
    this.#bytes.used += call.bytesHeld;
    this.#queue.push(call);
  }

  /** A call that has waited before is put where its age puts it. Always legal: it had been counted as sent. */
  putBack(call: Call): void {
    call.body = call.body.slice();
    this.#bytes.used += call.bytesHeld;
    const at = this.#queue.findIndex((waiting) => waiting.arrivedAt > call.arrivedAt);
    if (at < 0) this.#queue.push(call);
    else this.#queue.splice(at, 0, call);
  }

  dequeue(): Call | undefined {
    const call = this.#queue.shift();
    if (call) this.#bytes.used -= call.bytesHeld;
    return call;
  }

  /** Takes out every waiting call for which `leaves` holds, in order. */
  takeOut(leaves: (call: Call) => boolean): Call[] {
    if (this.#queue.length === 0) return [];
    const left = this.#queue.filter(leaves);
    if (left.length === 0) return left;
    const stay = this.#queue.filter((call) => !left.includes(call));
    this.#queue.length = 0;
    this.#queue.push(...stay);
    for (const call of left) this.#bytes.used -= call.bytesHeld;
    return left;
  }

  forgetIdle(container: Container): void {
    const at = this.idle.indexOf(container);
    if (at >= 0) this.idle.splice(at, 1);
  }
}
