/**
 * The bus port: how actors talk. Two levels: typed conversations (control), and raw messages (the call path).
 *
 * B1  A handler or listener may throw or reject: the bus catches it, answers a Fault or counts it; the connection stays alive.
 * B2  Raw listeners run in line with the socket read: they must not wait.
 * B3  `stop` of a subscription is a drain: what was on the wire is still delivered before it resolves.
 */
import type { Event, Request } from "../../protocol/contract.ts";

/** A raw message. Views into the read buffer: copy what is kept. */
export interface Message {
  readonly subject: string;
  /** Empty when none was given. */
  readonly reply: string;
  readonly body: Uint8Array;
  /** 503 when this is the broker's "no responders", else 0. */
  readonly status: number;
  readonly hasHeaders: boolean;
  /** Throws Fault BadHeader, as `headerNames` does, when the block of headers is malformed. */
  header(name: string): string | undefined;
  /** Names of all headers, as the caller wrote them. */
  headerNames(): readonly string[];
}

export interface Subscription {
  stop(): Promise<void>;
}

/** Options of a raw subscription. */
export interface ListenOptions {
  readonly queue?: string;
}

export interface Bus {
  /** Asks one node. Rejects with the Fault that came back, or Unavailable when nobody answers in time. */
  ask<P extends readonly string[], Q, R>(contract: Request<P, Q, R>, params: P, body: Q, timeoutMs?: number): Promise<R>;
  /** Serves a conversation as a micro-service endpoint; with `queue`, one of the group answers. */
  serve<P extends readonly string[], Q, R>(
    contract: Request<P, Q, R>,
    params: P,
    handler: (body: Q) => Promise<R> | R,
    queue?: string,
  ): Subscription;
  tell<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, body: Q): void;
  /** `params` may hold `*` wildcards. */
  hear<P extends readonly string[], Q>(contract: Event<P, Q>, params: P, listener: (body: Q) => void): Subscription;
  /** Call path: listens on a literal or wildcard subject. */
  listen(subject: string, options: ListenOptions, listener: (message: Message) => void): Subscription;
  /** Call path: sends bytes as they are; drops them when not connected (the placer's own record covers that). */
  send(subject: string, body: Uint8Array, reply?: string, headers?: Readonly<Record<string, string>>): void;
  /** True while connected; judges count another's silence only in such time. */
  readonly connected: boolean;
  /** For how many ms the broker has owed this connection an answer: what arrives meanwhile may be as old. Absent or 0 where nobody asks. */
  readonly owedMs?: number;
}
