/** One HTTP request as its route sees it, and what of it is in memory. */
import type { IncomingMessage } from "node:http";
import type { HttpReply } from "../../actors/gateway/reply.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { BodyReader, Upload } from "./http-body.ts";
import { isStream } from "./http-send.ts";
import { Stop, type StopSignal } from "./stop-signal.ts";
import { until } from "./until.ts";

export interface HttpRequest {
  /** Path and query as they came. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Fires with Fault Cancelled when the client is gone. */
  readonly signal: StopSignal;
  /**
   * The body, whole where it says that it has BODY_LIMIT bytes at most. An upload counts as what of it is held at most, until
   * `release`. Rejects with Fault PayloadTooLarge, Throttled, BadRequest or Cancelled. Legal once.
   */
  body(): Promise<Uint8Array | Upload>;
  /** Counts bytes that come into memory for this request, until it is answered. Throws Fault Throttled. */
  hold(bytes: number): void;
  /** What was held by now is not any more. */
  release(): void;
  /** Waits until a large result of so many bytes has room, which is what of it is held at most, and counts that until it is sent. Rejects with Fault Throttled or Cancelled. */
  room(bytes: number): Promise<void>;
}

/** Of a large body: its parts on their way, the one that is being filled or sent, and one at its end. */
const HELD_OF_LARGE = (LIMITS.bodyPartsStreamed.value + 2) * LIMITS.bodyPart.value;

/** Bytes in memory for all requests. */
export interface Held {
  bytes: number;
}

/** A result up to this is sent whatever else is held; there are LIMITS.httpRequests of them at most. */
const ALWAYS_SENT = 64 * 1_024;

/** The request behind it. `signal` is to be aborted when the client is gone, and then `release` called. */
export class Exchange implements HttpRequest {
  readonly signal = new Stop();
  readonly url: string;
  readonly headers: HttpRequest["headers"];
  readonly #raw: IncomingMessage;
  readonly #all: Held;
  readonly #bodies: BodyReader;
  #own = 0;

  constructor(raw: IncomingMessage, all: Held, bodies: BodyReader) {
    this.url = raw.url ?? "";
    this.headers = raw.headers;
    this.#raw = raw;
    this.#all = all;
    this.#bodies = bodies;
  }

  body(): Promise<Uint8Array | Upload> {
    const hold = (bytes: number): void => {
      if (this.#own < HELD_OF_LARGE) this.hold(Math.min(bytes, HELD_OF_LARGE - this.#own));
    };
    return this.#bodies.read(this.#raw, hold, this.signal);
  }

  hold(bytes: number): void {
    if (this.signal.aborted) throw this.signal.reason;
    if (this.#all.bytes + bytes > LIMITS.httpBytes.value)
      throw new Fault("Throttled", "this gateway holds as many bytes as it may", { retryAfterMs: 500, limit: "httpBytes" });
    this.#count(bytes);
  }

  release(): void {
    this.#count(-this.#own);
  }

  async room(bytes: number): Promise<void> {
    const wanted = Math.min(bytes, HELD_OF_LARGE);
    const isFree = () => this.signal.aborted || this.#all.bytes + wanted <= LIMITS.httpBytes.value;
    // The function has run: what it gave is not thrown away because others are quicker.
    await until(() => (isFree() ? true : undefined), LIMITS.httpRoomWait.value);
    this.hold(wanted);
  }

  /** From here on only the reply is in memory, until the client has read it. Throws Fault Throttled for one that has no room, unless `isAnyway`. */
  keep({ body }: HttpReply, isAnyway = false): void {
    const bytes = isStream(body) ? Math.min(body.bytes, HELD_OF_LARGE) : body.length;
    const more = bytes - this.#own;
    if (!isAnyway && more > 0 && bytes > ALWAYS_SENT && this.#all.bytes + more > LIMITS.httpBytes.value) {
      if (isStream(body)) body.close();
      throw new Fault("Throttled", "the function has run, and this gateway holds as many bytes as it may: its result is lost", {
        retryAfterMs: 500,
        limit: "httpBytes",
        next: "Call again if running twice does no harm, with fewer large results at a time.",
      });
    }
    this.#count(more);
  }

  #count(bytes: number): void {
    this.#own += bytes;
    this.#all.bytes += bytes;
  }
}
