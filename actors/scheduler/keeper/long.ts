/**
 * Direct calls older than 250 ms: hosts report whom a keeper has to answer if they die. What runs on is told again and again,
 * so that a lost report costs nothing, neither an answer nor memory.
 */
import { LIMITS } from "../../../protocol/limits.ts";

/** A direct call, as its host reports it. */
export interface LongCall {
  readonly call: string;
  /** The caller's inbox. */
  readonly reply: string;
  /** Not said by earlier releases. */
  readonly account?: string | undefined;
  readonly function?: string | undefined;
}

interface Told extends LongCall {
  readonly toldAt: number;
}

/** What is not told for this long has ended, and the news of that was lost. */
const FORGET_MS = 3 * LIMITS.longCallsEvery.value;

export class LongCalls {
  /** Host → call. */
  readonly #byHost = new Map<string, Map<string, Told>>();

  get size(): number {
    let size = 0;
    for (const calls of this.#byHost.values()) size += calls.size;
    return size;
  }

  reported(host: string, started: readonly LongCall[], ended: readonly string[], now: number): void {
    let calls = this.#byHost.get(host);
    if (calls === undefined) this.#byHost.set(host, (calls = new Map()));
    for (const long of started) calls.set(long.call, { ...long, toldAt: now });
    for (const call of ended) calls.delete(call);
    if (calls.size === 0) this.#byHost.delete(host);
  }

  /** Whom to answer now that the host is lost; they are forgotten. */
  take(host: string): LongCall[] {
    const calls = this.#byHost.get(host);
    this.#byHost.delete(host);
    return [...(calls?.values() ?? [])];
  }

  /** The keeper was away, and could not be told. */
  returned(now: number): void {
    for (const calls of this.#byHost.values()) for (const [call, long] of calls) calls.set(call, { ...long, toldAt: now });
  }

  /** Forgets what is told no more; to be called a few times a second while the keeper can be told. */
  sweep(now: number): void {
    for (const [host, calls] of this.#byHost) {
      for (const [call, { toldAt }] of calls) if (now - toldAt > FORGET_MS) calls.delete(call);
      if (calls.size === 0) this.#byHost.delete(host);
    }
  }
}
