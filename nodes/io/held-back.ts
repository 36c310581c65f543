/**
 * What is published while the connection does not stand, or while that is not known. An answer of this process is as good later: it
 * waits for this connection or the next. An order is not: whoever gave it has heard nothing by then, and has decided anew. It
 * waits only as long as the connection may stand.
 */
import type { NatsConnection, PublishOptions } from "nats";
import { LIMITS } from "../../protocol/limits.ts";

interface Held {
  readonly isAnswer: boolean;
  readonly subject: string;
  readonly body: Uint8Array;
  readonly options: PublishOptions | undefined;
}

export interface Line {
  isConnected(): boolean;
  /** False while it is not known whether the connection stands. */
  isSteady(): boolean;
  /** Told when the connection is back: so many messages were more than may be held, and are gone. */
  dropped(count: number): void;
}

export class HeldBack {
  readonly #nc: NatsConnection;
  readonly #line: Line;
  #held: Held[] = [];
  #bytes = 0;
  #dropped = 0;

  constructor(nc: NatsConnection, line: Line) {
    this.#nc = nc;
    this.#line = line;
  }

  /** Sends it now or later. `body` may be a view. */
  answer(subject: string, body: Uint8Array, options?: PublishOptions): void {
    if (this.#line.isSteady() && this.#line.isConnected()) this.#nc.publish(subject, body, options);
    else this.#hold({ isAnswer: true, subject, body, options });
  }

  /** Sends it now, or not at all where the connection turns out to be lost. `body` may be a view. */
  order(subject: string, body: Uint8Array, options?: PublishOptions): void {
    if (this.#line.isSteady() || !this.#line.isConnected()) this.#nc.publish(subject, body, options);
    else this.#hold({ isAnswer: false, subject, body, options });
  }

  /** The connection stands, or is back: sends what is held, unless it is still not known. Never throws. */
  send(): void {
    if (this.#nc.isClosed() || !this.#line.isSteady() || !this.#line.isConnected()) return;
    for (const { subject, body, options } of this.#take()) {
      try {
        this.#nc.publish(subject, body, options);
      } catch {
        // The connection is closing, or this server takes no message of that size: nobody is here any more who could hear of it.
      }
    }
    if (this.#dropped === 0) return;
    this.#line.dropped(this.#dropped);
    this.#dropped = 0;
  }

  /** The connection is lost. */
  disconnected(): void {
    for (const held of this.#take()) if (held.isAnswer) this.#hold(held);
  }

  /** Drops what is above LIMITS.lateReplies and LIMITS.lateReplyBytes. */
  #hold(held: Held): void {
    if (this.#held.length >= LIMITS.lateReplies.value || this.#bytes + held.body.length > LIMITS.lateReplyBytes.value) {
      this.#dropped += 1;
      return;
    }
    this.#bytes += held.body.length;
    this.#held.push({ ...held, body: held.body.slice() });
  }

  #take(): Held[] {
    const held = this.#held;
    this.#held = [];
    this.#bytes = 0;
    return held;
  }
}
