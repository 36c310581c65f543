/**
 * Direct calls that this host could not run, and handed on; and calls of the functions that run here, once it is known what they are.
 *
 * H1  The host owns them: it keeps the body until somebody has taken the call, and speaks for it until it is done.
 * H2  Silence never causes a second placement: only a 503, a refusal, or a node that is lost before it took the call.
 *     The keeper of a nested call of which nothing was heard is asked whether it has it.
 * H3  A keeper's "duplicate" is no refusal, but the news that the call was taken or answered.
 * H4  What its keeper does not take of direct calls goes to the frontends (desk-calls.ts), and is theirs from then on; a call of a
 *     running function stays here, and waits for a keeper.
 */
import { decode } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { callReport, type HandedCall, refusal } from "../../protocol/messages/call.ts";
import { nodeAnnouncement } from "../../protocol/messages/host.ts";
import { type BackSubject, parseBackSubject, SUBJECT } from "../../protocol/subjects.ts";
import { aboutCall, tracedHeaders } from "../kit/about-call.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import { type Member, Members } from "../kit/members.ts";
import type { Clock, Log } from "../kit/ports.ts";
import { rendezvous } from "../kit/rendezvous.ts";
import type { Counters } from "./counters.ts";
import { DeskCalls } from "./desk-calls.ts";
import type { HandOnTime } from "./hand-on-time.ts";
import type { HandedPlace, HandedRoom } from "./handed-room.ts";
import { OwnedCall, type OwnHead, type TakenBy } from "./owned-call.ts";
import type { Replies } from "./replies.ts";
import { Takers } from "./takers.ts";

/** A report that was on its way when a keeper died has arrived after this long. */
const SETTLE_MS = 100;
/** After this long a keeper is looked for again where there was none. */
const RETRY_MS = 50;
/** An answer that was sent before its call was told to be done has arrived after this long, also behind many others on a busy machine. */
const ANSWER_MS = 3_000;
const ANSWER_LOST = (): Fault => new Fault("InstanceLost", "the call has run, and its answer was lost on the way");

export interface HandedPorts {
  readonly host: string;
  readonly epoch: string;
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly room: HandedRoom;
  readonly replies: Replies;
  readonly counters: Counters;
  readonly handOn: HandOnTime;
  /** A scheduler has begun, or the one of that id was lost: a new one counts too few containers until it knows all hosts, and speaks for no call yet. */
  schedulersChanged(lost?: string): void;
  /** True while a running function waits for the answer on that inbox. */
  awaits(reply: string): boolean;
  /** The nested call that would be answered on that inbox ends so, unless it was answered. */
  undelivered(reply: string, fault: Fault): void;
  /** What came for a number that is of no call here. */
  cameBack(back: BackSubject, message: Message): void;
}

export class HandedCalls {
  readonly #ports: HandedPorts;
  readonly #calls = new Map<number, OwnedCall>();
  readonly #atDesk: DeskCalls;
  readonly #schedulers: Members;
  readonly #takers: Takers;
  readonly #subscriptions: readonly Subscription[];

  constructor(ports: HandedPorts) {
    this.#ports = ports;
    this.#atDesk = new DeskCalls(ports);
    const { control, clock, bus, host } = ports;
    this.#schedulers = new Members(control, clock, (member) => {
      this.#keeperLost(member);
      ports.schedulersChanged(member.id);
    });
    this.#takers = new Takers(control, clock, (member) => this.#hostLost(member));
    this.#subscriptions = [
      bus.listen(SUBJECT.backAll(host), {}, (message) => this.#cameBack(message)),
      control.hear(nodeAnnouncement, ["scheduler", "*"], ({ node, epoch, draining }) => {
        if (this.#schedulers.heard({ id: node, epoch, draining })) ports.schedulersChanged();
      }),
      control.hear(callReport, [host], ({ from, epoch, taken, done }) => {
        for (const call of this.#known(taken)) this.#taken(call, { host: from, epoch });
        for (const call of this.#known(done)) this.#done(call);
      }),
    ];
  }

  /** Those that nobody has taken yet. */
  get waiting(): number {
    let waiting = this.#atDesk.size;
    for (const { taken } of this.#calls.values()) if (taken === undefined) waiting++;
    return waiting;
  }

  /** The scheduler that keeps a function, as far as this host has heard; undefined: none. */
  keeperOf(account: string, name: string): string | undefined {
    return rendezvous(`${account}.${name}`, this.#schedulers.ids(true));
  }

  /** To the function's keeper, which places it. `waitMs` of the head counts from now. */
  toKeeper(keeper: string, head: OwnHead, body: Uint8Array, reply: string): void {
    const place = this.#roomFor(body.length, reply, head);
    if (place === undefined) return;
    const call = this.#hold(place, head, body.slice(), reply, false);
    call.keeper = keeper;
    this.#ports.counters.add("handed.keeper");
    this.#ports.log.debug("a call is handed on to its keeper", { ...aboutCall(head), keeper });
    this.#sendToKeeper(call);
  }

  /**
   * A running function's call, which has its place already, to the keeper of what it calls, as soon as there is one. `waitMs` of the head
   * counts from now. The body is kept.
   */
  placeNested(place: HandedPlace, head: OwnHead, body: Uint8Array, reply: string): void {
    this.#ports.counters.add("handed.nested");
    this.#toAnyKeeper(this.#hold(place, head, body, reply, true));
  }

  /** To any frontend, which judges it as if it had come from the caller. */
  toDesk(handed: HandedCall, body: Uint8Array, reply: string): void {
    const place = this.#roomFor(0, reply);
    if (place !== undefined) this.#atDesk.give(place, handed, body, reply);
  }

  /** Ends what nobody took in time; to be called a few times a second. */
  sweep(): void {
    const now = this.#ports.clock.now();
    this.#atDesk.sweep();
    for (const call of this.#calls.values()) {
      if (call.taken === undefined) {
        if (now > call.waitUntil + LIMITS.clockGap.value) {
          this.#ports.counters.add("handed.unplaced");
          this.#fail(call, new Fault("Throttled", "no place was found in time", { retryAfterMs: 1_000 }));
        } else if (call.isNested && now > call.probeAt && this.#ports.bus.connected) this.#probe(call);
      } else if (now > call.waitUntil + call.head.timeoutMs + LIMITS.boot.value + LIMITS.load.value) this.#forget(call);
    }
    this.#unwatch();
  }

  async close(): Promise<void> {
    this.#schedulers.stop();
    await Promise.all([this.#takers.close(), ...this.#subscriptions.map((subscription) => subscription.stop())]);
  }

  /** Undefined: there is none, and the caller has been told. */
  #roomFor(bytes: number, reply: string, head?: OwnHead): HandedPlace | undefined {
    const place = this.#ports.room.take(bytes);
    if (!(place instanceof Fault)) return place;
    const { name: error, message } = place;
    if (head !== undefined) this.#ports.log.debug("a call was refused", { ...aboutCall(head), error, message });
    this.#ports.replies.refuse(reply, place, undefined, head && tracedHeaders(head));
    return undefined;
  }

  #hold(place: HandedPlace, head: OwnHead, body: Uint8Array, reply: string, isNested: boolean): OwnedCall {
    const { clock, host, epoch } = this.#ports;
    const call = new OwnedCall({ clock, place, head, body, reply, isNested, owner: { host, epoch } });
    this.#calls.set(place.number, call);
    return call;
  }

  #sendToKeeper(call: OwnedCall): void {
    this.#send(call, call.whole());
  }

  #probe(call: OwnedCall): void {
    this.#ports.counters.add("handed.probed");
    this.#send(call, call.probe());
  }

  #send({ keeper, back }: OwnedCall, message: Uint8Array | undefined): void {
    if (message !== undefined) this.#ports.bus.send(SUBJECT.keeper(keeper), message, back);
  }

  #toAnyKeeper(call: OwnedCall): void {
    const keeper = this.keeperOf(call.head.account, call.head.function);
    if (keeper === undefined) return this.#retryKeeper(call);
    call.keeper = keeper;
    this.#sendToKeeper(call);
  }

  /** No keeper, or one that does not take it now: a nested call waits for one as long as it may wait for a place. */
  #retryKeeper(call: OwnedCall): void {
    const { clock } = this.#ports;
    if (clock.now() > call.waitUntil) {
      // Its keeper had it, and may have placed it before it went: the sweep ends it, if no host runs it by then.
      if (!call.wasProbed) this.#fail(call, new Fault("Unavailable", "no scheduler answers", { retryAfterMs: 1_000 }));
      return;
    }
    const hop = ++call.hop;
    clock.after(RETRY_MS, () => {
      if (this.#isWaiting(call, hop)) this.#toAnyKeeper(call);
    });
  }

  /** The keeper did not take it: any frontend may know a better one. */
  #fallBack(call: OwnedCall): void {
    const { body, reply } = call;
    if (body === undefined) return;
    this.#ports.log.debug("a call is handed on to a frontend, where it gets another id", aboutCall(call.head));
    this.#forget(call);
    this.toDesk(call.anew(), body, reply);
  }

  /** A 503 or a refusal. */
  #cameBack(message: Message): void {
    const back = parseBackSubject(message.subject);
    if (back === undefined) return;
    if (back.number === 0) return this.#ports.undelivered(back.reply, new Fault("Unavailable", "no frontend answers"));
    const call = this.#calls.get(back.number);
    if (call === undefined) {
      if (message.status !== 503 || !this.#atDesk.undelivered(back.number)) this.#ports.cameBack(back, message);
    } else if (back.hop === call.hop && back.reply === call.reply && call.taken === undefined) this.#returned(call, message);
    // Else it is of no concern any more. On another inbox it answers a question of before the call was placed, which had the same number.
  }

  #returned(call: OwnedCall, message: Message): void {
    const said = message.status === 503 ? undefined : refusal.parse(decode(message.body));
    const { refused, reason } = said ?? { refused: "absent", reason: "nobody listens" };
    this.#ports.log.debug("a call came back", { ...aboutCall(call.head), from: call.keeper, refused, reason });
    if (said?.refused === "duplicate") return this.#takenAlready(call, said.taken);
    this.#ports.counters.add("handed.returned");
    if (!call.isNested) this.#fallBack(call);
    else if (said === undefined || said.refused === "draining") this.#retryKeeper(call);
    else this.#fail(call, new Fault("Unavailable", `the call was refused: ${said.reason}`));
  }

  /** H3: the news of that was lost. `by` undefined: its keeper has refused it, and told its caller. */
  #takenAlready(call: OwnedCall, by: TakenBy | undefined): void {
    this.#ports.counters.add("handed.reportLost");
    if (by !== undefined) {
      // Its death was before this news of it.
      if (this.#takers.isOver(by.host, by.epoch)) return this.#takerLost(call, by);
      return this.#taken(call, by);
    }
    // That may have been lost too, and here it does no harm twice.
    if (call.isNested) this.#fail(call, new Fault("Unavailable", "its keeper refused the call", { retryAfterMs: 1_000 }));
    else this.#forget(call);
  }

  /** The answer of a nested call was sent before that was told: one that is not here soon was lost on its way. */
  #done(call: OwnedCall): void {
    this.#forget(call);
    if (call.isNested && this.#ports.awaits(call.reply)) this.#awaitAnswer(call.reply);
  }

  /** While the connection is away nothing can come. */
  #awaitAnswer(reply: string): void {
    const { bus, clock, undelivered } = this.#ports;
    clock.after(ANSWER_MS, () => {
      if (bus.connected) undelivered(reply, ANSWER_LOST());
      else this.#awaitAnswer(reply);
    });
  }

  #taken(call: OwnedCall, by: TakenBy): void {
    call.taken = by;
    const now = this.#ports.clock.now();
    // Sent more than once it tells of a loss, and not of the way.
    if (call.hop === 1 && !call.isNested) this.#ports.handOn.took(now - call.since, now);
    // An idempotent call may have to run again: its body is kept to the end.
    if (!call.head.idempotent) call.dropBody();
    if (by.host !== this.#ports.host) this.#takers.watch(by.host, by.epoch);
  }

  #hostLost(host: Member): void {
    for (const call of this.#calls.values()) {
      if (call.taken?.host === host.id && call.taken.epoch === host.epoch) this.#takerLost(call, call.taken);
    }
  }

  #takerLost(call: OwnedCall, by: TakenBy): void {
    const { host } = by;
    if (call.head.idempotent && call.head.attempt < LIMITS.attempts.value) {
      call.rerun();
      this.#ports.log.info("a call runs again, since its host was lost", { ...aboutCall(call.head), host, attempt: call.head.attempt });
      return this.#sendToKeeper(call);
    }
    call.taken = by;
    this.#fail(call, new Fault("InstanceLost", `host ${host} died while the call ran`));
  }

  /** Once reports under way have arrived: to its successor of the same name, which holds a call once, else to any frontend. */
  #keeperLost(keeper: Member): void {
    const lost = [...this.#calls.values()].filter((call) => call.taken === undefined && call.keeper === keeper.id);
    const hops = lost.map((call) => call.hop);
    this.#ports.clock.after(SETTLE_MS, () => {
      for (const [at, call] of lost.entries()) {
        if (!this.#isWaiting(call, hops[at])) continue;
        if (call.isNested || this.#schedulers.has(keeper.id)) {
          call.again();
          this.#ports.log.debug("a call is placed again, since its keeper was lost", { ...aboutCall(call.head), keeper: keeper.id });
          if (call.isNested) this.#toAnyKeeper(call);
          else this.#sendToKeeper(call);
        } else this.#fallBack(call);
      }
    });
  }

  #known(numbers: readonly number[]): OwnedCall[] {
    return numbers.flatMap((number) => this.#calls.get(number) ?? []);
  }

  #unwatch(): void {
    if (this.#takers.size === 0) return;
    const wanted = new Set<string>();
    for (const { taken } of this.#calls.values()) if (taken) wanted.add(taken.host);
    this.#takers.keepOnly(wanted);
  }

  /** Nobody has taken it, and nothing was done about it since that hop. */
  #isWaiting(call: OwnedCall, hop: number | undefined): boolean {
    return this.#calls.get(call.place.number) === call && call.taken === undefined && call.hop === hop;
  }

  #fail(call: OwnedCall, fault: Fault): void {
    this.#forget(call);
    this.#ports.counters.add(`handed.${fault.name}`);
    const { head, taken } = call;
    const about = { ...aboutCall(head), error: fault.name, message: fault.message };
    if (taken === undefined) this.#ports.log.debug("a call ended without a place", about);
    else this.#ports.log.info("a call was lost with its host", { ...about, host: taken.host });
    this.#ports.replies.refuse(call.reply, fault, undefined, tracedHeaders(head));
  }

  #forget(call: OwnedCall): void {
    call.place.leave();
    this.#calls.delete(call.place.number);
  }
}
