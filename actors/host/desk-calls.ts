/**
 * Direct calls that this host has given to the frontends, which judge each as if it had come from its caller. From then on a call is the
 * frontend's own; here it is only remembered until it is certain that there was a frontend.
 */
import { joinHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import type { HandedCall } from "../../protocol/messages/call.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock } from "../kit/ports.ts";
import type { Counters } from "./counters.ts";
import type { HandedPlace } from "./handed-room.ts";
import type { Replies } from "./replies.ts";

export interface DeskCallsPorts {
  readonly host: string;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly replies: Replies;
}

interface Given {
  readonly place: HandedPlace;
  readonly reply: string;
  /** Monotonic. */
  readonly until: number;
}

/** How long a 503 of the desk may take: it comes within one round trip to the broker. */
const DESK_MS = 1_000;

export class DeskCalls {
  readonly #ports: DeskCallsPorts;
  /** The oldest come first. */
  readonly #given = new Map<number, Given>();

  constructor(ports: DeskCallsPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#given.size;
  }

  give(place: HandedPlace, handed: HandedCall, body: Uint8Array, reply: string): void {
    const { bus, clock, counters, host } = this.#ports;
    this.#given.set(place.number, { place, reply, until: clock.now() + DESK_MS });
    counters.add("handed.desk");
    bus.send(SUBJECT.desk, joinHead(handed, body), SUBJECT.back(host, place.number, 1, reply));
  }

  /** A 503 for that number. False: it is no number of a call here. */
  undelivered(number: number): boolean {
    const given = this.#given.get(number);
    if (given === undefined) return false;
    this.#forget(given);
    this.#ports.counters.add("handed.Unavailable");
    this.#ports.replies.refuse(given.reply, new Fault("Unavailable", "no frontend answers", { retryAfterMs: 1_000 }));
    return true;
  }

  /** Forgets what a frontend has; to be called a few times a second. */
  sweep(): void {
    const now = this.#ports.clock.now();
    for (const given of this.#given.values()) {
      if (now <= given.until) return;
      this.#forget(given);
    }
  }

  #forget({ place }: Given): void {
    this.#given.delete(place.number);
    place.leave();
  }
}
