/**
 * Direct calls that this host could not run, and handed on; and calls of the functions that run here, once it is known what they are.
 *
 * H1  The host owns them: it keeps the body until somebody has taken the call, and speaks for it until it is done.
 * H2  Silence never causes a second placement: only a 503, a refusal, or a node that is lost before it took the call.
 *     The keeper of a nested call of which nothing was heard is asked whether it has it.
 * H3  What a frontend gets from the desk is the frontend's own from then on; here only a 503 is still answered.
 */
import { decode, joinHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type CallHead, callReport, type HandedCall, refusal } from "../../protocol/messages/call.ts";
import { hostAnnouncement, nodeAnnouncement } from "../../protocol/messages/host.ts";
import { type BackSubject, parseBackSubject, SUBJECT } from "../../protocol/subjects.ts";
import { aboutCall, tracedHeaders } from "../kit/about-call.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import { firstNumber } from "../kit/first-number.ts";
import { type Member, Members } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import { rendezvous } from "../kit/rendezvous.ts";
import type { Counters } from "./counters.ts";
import type { HandOnTime } from "./hand-on-time.ts";
import type { Replies } from "./replies.ts";

interface Handed {
  readonly number: number;
  readonly reply: string;
  /** Monotonic. */
  waitUntil: number;
  /** Set while a keeper has it. */
  head: CallHead | undefined;
  keeper: string;
  body: Uint8Array | undefined;
  hop: number;
  /** A running function's: it goes to keepers only. */
  readonly isNested: boolean;
  /** Monotonic: when the keeper of a nested call is asked about it, unless something is heard before. */
  probeAt: number;
  /** Since it was last sent whole. */
  wasProbed: boolean;
  taken: { readonly host: string; readonly epoch: string } | undefined;
  /** Monotonic. */
  readonly since: number;
}

/** How long a 503 of the desk may take: it comes within one round trip to the broker. */
const DESK_MS = 1_000;
/** A report that was on its way when a keeper died has arrived after this long. */
const SETTLE_MS = 100;
/** After this long a keeper is looked for again where there was none. */
const RETRY_MS = 50;
/** A nested call of which nothing was heard for this long may have been lost on the way. */
const PROBE_MS = 500;
const NOTHING = new Uint8Array(0);

export interface HandedPorts {
  readonly host: string;
  readonly epoch: string;
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly replies: Replies;
  readonly counters: Counters;
  readonly handOn: HandOnTime;
  /** A scheduler has begun, or the one of that id was lost: a new one counts too few containers until it knows all hosts, and speaks for no call yet. */
  schedulersChanged(lost?: string): void;
  /** A 503 for a nested call that a frontend was to have, which is number 0 here; its own inbox follows. */
  undelivered(reply: string): void;
  /** What came for a number that is of no call here. */
  cameBack(back: BackSubject, message: Message): void;
}

export class HandedCalls {
  readonly #ports: HandedPorts;
  readonly #calls = new Map<number, Handed>();
  readonly #watched = new Map<string, Subscription>();
  readonly #schedulers: Members;
  readonly #hosts: Members;
  readonly #subscriptions: readonly Subscription[];
  #next: number;
  #bytes = 0;

  constructor(ports: HandedPorts) {
    this.#ports = ports;
    this.#next = firstNumber(ports.random);
    const { control, clock, bus, host } = ports;
    this.#schedulers = new Members(control, clock, (member) => {
      this.#keeperLost(member);
      ports.schedulersChanged(member.id);
    });
    this.#hosts = new Members(control, clock, (member) => this.#hostLost(member));
    this.#subscriptions = [
      bus.listen(SUBJECT.backAll(host), {}, (message) => this.#cameBack(message)),
      control.hear(nodeAnnouncement, ["scheduler", "*"], ({ node, epoch, draining }) => {
        if (this.#schedulers.heard({ id: node, epoch, draining })) ports.schedulersChanged();
      }),
      control.hear(callReport, [host], ({ from, epoch, taken, done }) => {
        for (const number of taken) this.#taken(number, from, epoch);
        for (const number of done) this.#forget(number);
      }),
    ];
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Those that nobody has taken yet. */
  get waiting(): number {
    let waiting = 0;
    for (const { taken } of this.#calls.values()) if (taken === undefined) waiting++;
    return waiting;
  }

  /** Of the bodies that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A number that no call of this host has. */
  nextNumber(): number {
    return this.#next++;
  }

  /** The scheduler that keeps a function, as far as this host has heard; undefined: none. */
  keeperOf(account: string, name: string): string | undefined {
    return rendezvous(`${account}.${name}`, this.#schedulers.ids(true));
  }

  /** To the function's keeper, which places it. `waitMs` of the head counts from now. */
  toKeeper(keeper: string, head: Omit<CallHead, "owner" | "number">, body: Uint8Array, reply: string): void {
    const call = this.#hold(head, body, reply, false);
    if (call === undefined) return;
    call.keeper = keeper;
    this.#ports.counters.add("handed.keeper");
    this.#ports.log.debug("a call is handed on to its keeper", { ...aboutCall(head), keeper });
    this.#sendToKeeper(call);
  }

  /** A running function's call to the keeper of what it calls, as soon as there is one. `waitMs` of the head counts from now. */
  placeNested(head: Omit<CallHead, "owner" | "number">, body: Uint8Array, reply: string): void {
    const call = this.#hold(head, body, reply, true);
    if (call === undefined) return;
    this.#ports.counters.add("handed.nested");
    this.#toAnyKeeper(call);
  }

  #hold(head: Omit<CallHead, "owner" | "number">, body: Uint8Array, reply: string, isNested: boolean): Handed | undefined {
    if (!this.#hasRoom(body.length, reply, head)) return undefined;
    const number = this.#next++;
    const call: Handed = {
      number,
      reply,
      waitUntil: this.#ports.clock.now() + head.waitMs,
      head: { ...head, owner: this.#ports.host, ownerEpoch: this.#ports.epoch, number },
      keeper: "",
      body: body.slice(),
      hop: 0,
      isNested,
      probeAt: Number.POSITIVE_INFINITY,
      wasProbed: false,
      taken: undefined,
      since: this.#ports.clock.now(),
    };
    this.#bytes += body.length;
    this.#calls.set(number, call);
    return call;
  }

  /** To any frontend, which judges it as if it had come from the caller. */
  toDesk(handed: HandedCall, body: Uint8Array, reply: string): void {
    if (!this.#hasRoom(0, reply)) return;
    const call: Handed = {
      number: this.#next++,
      reply,
      waitUntil: 0,
      head: undefined,
      keeper: "",
      body: undefined,
      hop: 0,
      isNested: false,
      probeAt: Number.POSITIVE_INFINITY,
      wasProbed: false,
      taken: undefined,
      since: this.#ports.clock.now(),
    };
    this.#calls.set(call.number, call);
    this.#sendToDesk(call, handed, body);
  }

  /** Ends what nobody took in time; to be called a few times a second. */
  sweep(): void {
    const now = this.#ports.clock.now();
    for (const call of this.#calls.values()) {
      const { head } = call;
      if (head === undefined) {
        if (now > call.waitUntil) this.#forget(call.number);
      } else if (call.taken === undefined) {
        if (now > call.waitUntil + LIMITS.clockGap.value) {
          this.#ports.counters.add("handed.unplaced");
          this.#fail(call, new Fault("Throttled", "no place was found in time", { retryAfterMs: 1_000 }));
        } else if (call.isNested && now > call.probeAt && this.#ports.bus.connected) this.#probe(call, head);
      } else if (now > call.waitUntil + head.timeoutMs + LIMITS.boot.value + LIMITS.load.value) this.#forget(call.number);
    }
    this.#unwatch();
  }

  async close(): Promise<void> {
    this.#schedulers.stop();
    this.#hosts.stop();
    await Promise.all([...this.#subscriptions, ...this.#watched.values()].map((subscription) => subscription.stop()));
  }

  #hasRoom(bytes: number, reply: string, head?: Parameters<typeof aboutCall>[0] & Parameters<typeof tracedHeaders>[0]): boolean {
    if (this.#calls.size < LIMITS.handedOn.value && this.#bytes + bytes <= LIMITS.heldBytes.value) return true;
    this.#ports.counters.add("handed.full");
    const full = new Fault("Throttled", "the host holds as many calls as it may", { retryAfterMs: 100 });
    if (head !== undefined) this.#ports.log.debug("a call was refused", { ...aboutCall(head), error: full.name, message: full.message });
    this.#ports.replies.refuse(reply, full, undefined, head && tracedHeaders(head));
    return false;
  }

  #sendToKeeper(call: Handed): void {
    if (call.head === undefined || call.body === undefined) return;
    call.hop++;
    call.wasProbed = false;
    call.probeAt = this.#ports.clock.now() + PROBE_MS;
    const waitMs = Math.max(0, call.waitUntil - this.#ports.clock.now());
    this.#ports.bus.send(
      SUBJECT.keeper(call.keeper),
      joinHead({ ...call.head, waitMs }, call.body),
      SUBJECT.back(this.#ports.host, call.number, call.hop, call.reply),
    );
  }

  /** Asks the keeper whether it has the call at all. One that has it, and no host for it yet, says nothing. */
  #probe(call: Handed, head: CallHead): void {
    const { bus, clock, counters, host } = this.#ports;
    counters.add("handed.probed");
    call.wasProbed = true;
    call.probeAt = clock.now() + PROBE_MS;
    call.hop++;
    bus.send(
      SUBJECT.keeper(call.keeper),
      joinHead({ ...head, probe: true }, NOTHING),
      SUBJECT.back(host, call.number, call.hop, call.reply),
    );
  }

  #toAnyKeeper(call: Handed): void {
    if (call.head === undefined) return;
    const keeper = this.keeperOf(call.head.account, call.head.function);
    if (keeper === undefined) return this.#retryKeeper(call);
    call.keeper = keeper;
    this.#sendToKeeper(call);
  }

  /** No keeper, or one that does not take it now: a nested call waits for one as long as it may wait for a place. */
  #retryKeeper(call: Handed): void {
    const { clock } = this.#ports;
    if (clock.now() > call.waitUntil) {
      // Its keeper had it, and may have placed it before it went: the sweep ends it, if no host runs it by then.
      if (!call.wasProbed) this.#fail(call, new Fault("Unavailable", "no scheduler answers", { retryAfterMs: 1_000 }));
      return;
    }
    const hop = ++call.hop;
    clock.after(RETRY_MS, () => {
      if (this.#calls.get(call.number) === call && call.taken === undefined && call.hop === hop) this.#toAnyKeeper(call);
    });
  }

  #sendToDesk(call: Handed, handed: HandedCall, body: Uint8Array): void {
    this.#release(call);
    call.hop++;
    call.head = undefined;
    call.waitUntil = this.#ports.clock.now() + DESK_MS;
    this.#ports.counters.add("handed.desk");
    this.#ports.bus.send(SUBJECT.desk, joinHead(handed, body), SUBJECT.back(this.#ports.host, call.number, call.hop, call.reply));
  }

  /** The keeper did not take it: any frontend may know a better one. */
  #fallBack(call: Handed): void {
    const { head, body } = call;
    if (head === undefined || body === undefined) return;
    this.#ports.log.debug("a call is handed on to a frontend, where it gets another id", aboutCall(head));
    const waitedMs = Math.max(0, this.#ports.clock.epoch() - head.receivedAt);
    const headers: Record<string, string> = {
      "Pilot-Deadline": String(Math.max(1, Math.round(waitedMs + call.waitUntil - this.#ports.clock.now()))),
      ...(head.trace && { "Pilot-Trace": "1" }),
      ...(head.traceparent !== undefined && { traceparent: head.traceparent }),
    };
    this.#sendToDesk(call, { account: head.account, function: head.function, headers, receivedAt: head.receivedAt, waitedMs }, body);
  }

  /** A 503 or a refusal. */
  #cameBack(message: Message): void {
    const back = parseBackSubject(message.subject);
    if (back?.number === 0) return this.#ports.undelivered(back.reply);
    if (back === undefined) return;
    const call = this.#calls.get(back.number);
    if (call === undefined) return this.#ports.cameBack(back, message);
    if (back.hop !== call.hop || call.taken !== undefined) return;
    if (call.isNested) this.#nestedReturned(call, message);
    else if (call.head !== undefined) {
      this.#ports.counters.add("handed.returned");
      this.#fallBack(call);
    } else if (message.status === 503) this.#fail(call, new Fault("Unavailable", "no frontend answers", { retryAfterMs: 1_000 }));
  }

  #nestedReturned(call: Handed, message: Message): void {
    this.#ports.counters.add("handed.returned");
    if (message.status === 503) return this.#retryKeeper(call);
    const { refused, reason, taken } = refusal.parse(decode(message.body));
    if (call.head !== undefined) this.#ports.log.debug("a call came back", { ...aboutCall(call.head), from: call.keeper, refused, reason });
    // The news of that was lost.
    if (refused === "duplicate" && taken !== undefined) this.#taken(call.number, taken.host, taken.epoch);
    else if (refused === "draining") this.#retryKeeper(call);
    else this.#fail(call, new Fault("Unavailable", `the call was refused: ${reason}`));
  }

  #taken(number: number, host: string, epoch: string): void {
    const call = this.#calls.get(number);
    if (call?.head === undefined) return;
    call.taken = { host, epoch };
    // Sent more than once it tells of a loss, and not of the way.
    if (call.hop === 1 && !call.isNested) this.#ports.handOn.took(this.#ports.clock.now() - call.since, this.#ports.clock.now());
    // An idempotent call may have to run again: its body is kept to the end.
    if (!call.head.idempotent) this.#release(call);
    if (host === this.#ports.host) return;
    this.#hosts.heard({ id: host, epoch, draining: false });
    if (!this.#watched.has(host)) {
      const subscription = this.#ports.control.hear(hostAnnouncement, [host], (said) => {
        this.#hosts.heard({ id: said.host, epoch: said.epoch, draining: said.draining });
      });
      this.#watched.set(host, subscription);
    }
  }

  #hostLost(host: Member): void {
    for (const call of this.#calls.values()) {
      if (call.taken?.host !== host.id || call.taken.epoch !== host.epoch || call.head === undefined) continue;
      if (call.head.idempotent && call.head.attempt < LIMITS.attempts.value) {
        call.taken = undefined;
        call.head = { ...call.head, attempt: call.head.attempt + 1 };
        const about = { ...aboutCall(call.head), host: host.id, attempt: call.head.attempt };
        this.#ports.log.info("a call runs again, since its host was lost", about);
        this.#sendToKeeper(call);
      } else this.#fail(call, new Fault("InstanceLost", `host ${host.id} died while the call ran`));
    }
  }

  /** Once reports under way have arrived: to its successor of the same name, which holds a call once, else to any frontend. */
  #keeperLost(keeper: Member): void {
    const lost = [...this.#calls.values()].filter(
      (call) => call.head !== undefined && call.taken === undefined && call.keeper === keeper.id,
    );
    const hops = lost.map((call) => call.hop);
    this.#ports.clock.after(SETTLE_MS, () => {
      for (const [at, call] of lost.entries()) {
        if (this.#calls.get(call.number) !== call || call.head === undefined || call.taken !== undefined || call.hop !== hops[at]) continue;
        if (call.isNested || this.#schedulers.has(keeper.id)) {
          call.head = { ...call.head, attempt: call.head.attempt + 1 };
          this.#ports.log.debug("a call is placed again, since its keeper was lost", { ...aboutCall(call.head), keeper: keeper.id });
          if (call.isNested) this.#toAnyKeeper(call);
          else this.#sendToKeeper(call);
        } else this.#fallBack(call);
      }
    });
  }

  #unwatch(): void {
    if (this.#watched.size === 0) return;
    const wanted = new Set<string>();
    for (const { taken } of this.#calls.values()) if (taken) wanted.add(taken.host);
    for (const [host, subscription] of this.#watched) {
      if (wanted.has(host)) continue;
      this.#watched.delete(host);
      void subscription.stop();
    }
  }

  #fail(call: Handed, fault: Fault): void {
    this.#forget(call.number);
    this.#ports.counters.add(`handed.${fault.name}`);
    const { head, taken } = call;
    if (head !== undefined) {
      const about = { ...aboutCall(head), error: fault.name, message: fault.message };
      if (taken === undefined) this.#ports.log.debug("a call ended without a place", about);
      else this.#ports.log.info("a call was lost with its host", { ...about, host: taken.host });
    }
    this.#ports.replies.refuse(call.reply, fault, undefined, head && tracedHeaders(head));
  }

  #release(call: Handed): void {
    if (call.body === undefined) return;
    this.#bytes -= call.body.length;
    call.body = undefined;
  }

  #forget(number: number): void {
    const call = this.#calls.get(number);
    if (call === undefined) return;
    this.#release(call);
    this.#calls.delete(number);
  }
}
