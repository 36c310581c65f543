/**
 * A NATS server in memory, as far as the bus port shows it: wildcards, queue groups, no-responders, connections that are cut or hang.
 *
 * B1  One queue of work, one piece per microtask: what one client sends in order arrives in order, and a run repeats exactly.
 * B2  "No responders" (503) goes to the publisher only, and only on a reply subject that it listens to without a queue group.
 * B3  A fault may drop a message or delay it; a delayed one may be overtaken by later ones.
 */
import type { Clock } from "../../actors/kit/ports.ts";
import { seededRandom } from "./random.ts";

export interface Packet {
  readonly from: string;
  readonly subject: string;
  readonly reply: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** 503 for no responders, else 0. */
  readonly status: number;
}

/** One subscription as the server sees it. */
export interface Interest {
  readonly subject: string;
  readonly queue: string | undefined;
  readonly client: string;
  deliver(packet: Packet): void;
}

/** What becomes of a message on its way to one receiver: "drop", or ms of delay; undefined: nothing happens to it. */
export type FaultRule = (packet: Packet, to: string) => "drop" | number | undefined;

/** True when `subject` falls under `pattern` with its `*` and `>`. */
export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const given = subject.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return given.length > index;
    if (index >= given.length || (token !== "*" && token !== given[index])) return false;
  }
  return wanted.length === given.length;
}

export class MemoryBroker {
  readonly clock: Clock;
  /** Chooses the member of a queue group: an index below `size`. May be replaced. */
  pick: (size: number) => number;
  /** May be replaced at any time. */
  fault: FaultRule = () => undefined;
  readonly #literal = new Map<string, Set<Interest>>();
  readonly #wild = new Set<Interest>();
  readonly #taps = new Set<(packet: Packet) => void>();
  readonly #work: (() => void)[] = [];
  #running = false;

  constructor(clock: Clock, seed = 1) {
    this.clock = clock;
    const random = seededRandom(seed);
    this.pick = (size) => Math.floor(random.next() * size);
  }

  /** Sees every published message, also those that nobody gets. Returns how to stop. */
  tap(listener: (packet: Packet) => void): () => void {
    this.#taps.add(listener);
    return () => this.#taps.delete(listener);
  }

  /** How many subscriptions would get a message on that subject. */
  interest(subject: string): number {
    return this.#match(subject).length;
  }

  add(interest: Interest): void {
    if (/[*>]/.test(interest.subject)) this.#wild.add(interest);
    else {
      const set = this.#literal.get(interest.subject) ?? new Set();
      set.add(interest);
      this.#literal.set(interest.subject, set);
    }
  }

  remove(interest: Interest): void {
    this.#wild.delete(interest);
    const set = this.#literal.get(interest.subject);
    set?.delete(interest);
    if (set?.size === 0) this.#literal.delete(interest.subject);
  }

  /** Puts a piece of work behind everything that is already on the wire. */
  later(work: () => void): void {
    this.#work.push(work);
    if (this.#running) return;
    this.#running = true;
    queueMicrotask(() => this.#run());
  }

  /** What a server does with a message; call it from `later`. */
  route(packet: Packet): void {
    for (const tap of this.#taps) tap(packet);
    const receivers = this.#receivers(packet.subject);
    for (const receiver of receivers) this.#deliver(receiver, packet);
    if (receivers.length === 0 && packet.reply !== "") this.#noResponders(packet);
  }

  #receivers(subject: string): Interest[] {
    const plain: Interest[] = [];
    const groups = new Map<string, Interest[]>();
    for (const interest of this.#match(subject)) {
      if (interest.queue === undefined) plain.push(interest);
      else {
        const group = groups.get(interest.queue);
        if (group) group.push(interest);
        else groups.set(interest.queue, [interest]);
      }
    }
    for (const members of groups.values()) {
      const chosen = members[this.pick(members.length)];
      if (chosen) plain.push(chosen);
    }
    return plain;
  }

  #match(subject: string): Interest[] {
    const found = [...(this.#literal.get(subject) ?? [])];
    for (const interest of this.#wild) if (subjectMatches(interest.subject, subject)) found.push(interest);
    return found;
  }

  #noResponders(packet: Packet): void {
    const listening = this.#match(packet.reply).find((one) => one.client === packet.from && one.queue === undefined);
    const answer = { from: "", subject: packet.reply, reply: "", body: new Uint8Array(0), headers: undefined, status: 503 };
    if (listening) this.#deliver(listening, answer);
  }

  #deliver(interest: Interest, packet: Packet): void {
    const fate = this.fault(packet, interest.client);
    if (fate === "drop") return;
    // Each receiver has bytes of its own, as it would have read them from its own socket.
    const copy = { ...packet, body: packet.body.slice() };
    if (fate === undefined) this.later(() => interest.deliver(copy));
    else this.clock.after(fate, () => this.later(() => interest.deliver(copy)));
  }

  #run(): void {
    const work = this.#work.shift();
    if (this.#work.length === 0) this.#running = false;
    else queueMicrotask(() => this.#run());
    work?.();
  }
}
