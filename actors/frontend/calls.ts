/**
 * The calls that this frontend answers for.
 *
 * C1  A body is held until a host has taken the call; then only the record, until it is done.
 * C2  A second placement happens after a 503, a refusal, or the death of whoever held the call; never after silence.
 *     Whoever has a call of which nothing was heard is asked about it.
 * C3  A call that a host had taken when it died ends as InstanceLost, or runs again if declared idempotent.
 */

import { decode, joinHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type CallHead, refusal } from "../../protocol/messages/call.ts";
import { parseBackSubject, SUBJECT } from "../../protocol/subjects.ts";
import { aboutCall, tracedHeaders } from "../kit/about-call.ts";
import type { Bus, Message } from "../kit/bus.ts";
import { failureBody, failureHeaders } from "../kit/failure.ts";
import { firstNumber } from "../kit/first-number.ts";
import type { Member, Members } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import { rendezvous } from "../kit/rendezvous.ts";
import type { HotHost } from "./hot.ts";

interface HeldCall {
  head: CallHead;
  /** Undefined once a host has taken it. */
  body: Uint8Array | undefined;
  readonly reply: string;
  /** Monotonic time until which it may wait for a place. */
  waitUntil: number;
  hop: number;
  /** Who has it now: a host (hot), a keeper, or nobody while it waits for one to appear. */
  with: { readonly kind: "host" | "keeper"; readonly id: string } | undefined;
  /** When its holder is asked about it, unless something is heard before; and after which pause again. */
  probeAt: number;
  probeMs: number;
  /** Since it was last sent whole. */
  wasProbed: boolean;
  taken: { readonly host: string; readonly epoch: string } | undefined;
  /** How it ended with the death of the host that had taken it, where the caller could not be told. */
  untold: Fault | undefined;
}

export interface FrontendCallsPorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly node: string;
  readonly epoch: string;
  readonly hosts: Members;
  readonly schedulers: Members;
  count(counter: string): void;
  readonly log: Log;
}

const RETRY_MS = 50;
/** A call of which nothing was heard for this long may have been lost on the way. */
const PROBE_MS = 500;
/** A report that was on its way when a keeper died has arrived after this long. */
const SETTLE_MS = 100;

const NOTHING = new Uint8Array(0);

export class FrontendCalls {
  readonly #ports: FrontendCallsPorts;
  readonly #calls = new Map<number, HeldCall>();
  #next: number;
  #bytes = 0;

  constructor(ports: FrontendCallsPorts) {
    this.#ports = ports;
    this.#next = firstNumber(ports.random);
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Of the bodies that are held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes responsibility for a call and places it: at a host that has its code loaded, else at the function's keeper. */
  place(head: Omit<CallHead, "owner" | "number">, body: Uint8Array, reply: string, hot: HotHost | undefined): void {
    if (this.#bytes + body.length > LIMITS.heldBytes.value) {
      this.#ports.count("heldBytes");
      const full = new Fault("Throttled", "the frontend holds as many bodies as it may", { retryAfterMs: 100 });
      this.#ports.log.debug("a call was refused", { ...aboutCall(head), error: full.name, message: full.message });
      return this.#answer(head, reply, full);
    }
    const number = this.#next++;
    this.#bytes += body.length;
    const call: HeldCall = {
      head: { ...head, owner: this.#ports.node, ownerEpoch: this.#ports.epoch, number },
      body,
      reply,
      waitUntil: this.#ports.clock.now() + head.waitMs,
      hop: 0,
      with: undefined,
      probeAt: Number.POSITIVE_INFINITY,
      probeMs: PROBE_MS,
      wasProbed: false,
      taken: undefined,
      untold: undefined,
    };
    this.#calls.set(number, call);
    if (hot !== undefined) this.#toHost(call, hot);
    else this.#toKeeper(call);
  }

  /** A 503 or a refusal on one of our back subjects. */
  cameBack(message: Message): void {
    const back = parseBackSubject(message.subject);
    const call = back && this.#calls.get(back.number);
    if (call === undefined || back === undefined || back.hop !== call.hop || call.taken !== undefined) return;
    if (message.status === 503) {
      this.#ports.count("absent");
      this.#ports.log.debug("a call came back: nobody was there", { ...aboutCall(call.head), node: call.with?.id });
      if (call.with?.kind === "host") this.#toKeeper(call);
      else this.#retryKeeper(call);
      return;
    }
    const { refused, reason, taken } = refusal.parse(decode(message.body));
    if (refused === "duplicate") return this.#takenAlready(call, taken);
    this.#ports.count(`refused.${refused}`);
    this.#ports.log.debug("a call came back", { ...aboutCall(call.head), from: call.with?.id, refused, reason });
    if (call.with?.kind === "host") this.#toKeeper(call);
    // It was away, and needs a moment.
    else if (refused === "draining") this.#retryKeeper(call);
    else this.#end(call, new Fault("Internal", `the keeper refused the call: ${reason}`));
  }

  /** Its holder had it before: the news of that was lost. */
  #takenAlready(call: HeldCall, by: { readonly host: string; readonly epoch: string } | undefined): void {
    const { hosts } = this.#ports;
    this.#ports.count("reportLost");
    const host = call.with?.kind === "host" ? call.with.id : "";
    call.taken = by ?? { host, epoch: hosts.epochOf(host) ?? "" };
    if (!call.head.idempotent) this.#release(call);
    // Its death was before this news of it.
    if (by !== undefined && hosts.epochOf(by.host) !== by.epoch) this.#takerLost(call, by.host);
  }

  taken(numbers: readonly number[], host: string, epoch: string): void {
    for (const number of numbers) {
      const call = this.#calls.get(number);
      if (call === undefined) continue;
      call.taken = { host, epoch };
      // An idempotent call may have to run again: its body is kept to the end.
      if (!call.head.idempotent) this.#release(call);
    }
  }

  done(numbers: readonly number[]): void {
    for (const number of numbers) {
      const call = this.#calls.get(number);
      if (call !== undefined) this.#forget(call);
    }
  }

  hostLost(host: Member): void {
    for (const call of [...this.#calls.values()]) {
      if (call.taken === undefined) {
        if (call.with?.kind !== "host" || call.with.id !== host.id) continue;
        this.#ports.log.debug("a call is placed again, since its host was lost", { ...aboutCall(call.head), host: host.id });
        this.#toKeeper(call);
      } else if (call.taken.host === host.id && call.taken.epoch === host.epoch) this.#takerLost(call, host.id);
    }
  }

  /** C3. */
  #takerLost(call: HeldCall, host: string): void {
    if (call.head.idempotent && call.head.attempt < LIMITS.attempts.value) {
      this.#ports.count("rerun");
      this.#ports.log.info("a call runs again, since its host was lost", { ...aboutCall(call.head), host, attempt: call.head.attempt + 1 });
      call.taken = undefined;
      call.head = { ...call.head, attempt: call.head.attempt + 1 };
      // Its time to wait for a place was over while it ran.
      call.waitUntil = this.#ports.clock.now() + call.head.waitMs;
      this.#toKeeper(call);
      return;
    }
    this.#ports.count("instanceLost");
    this.#end(call, new Fault("InstanceLost", `host ${host} died while the call ran`));
  }

  /**
   * Calls that waited at a keeper that died go to its successor, once reports under way have arrived. Those sent since then
   * are the successor's already. One may have reached it before its first announcement: a keeper holds a call once.
   */
  keeperLost(keeper: Member): void {
    const lost = [...this.#calls.values()].filter(
      (call) => call.taken === undefined && call.with?.kind === "keeper" && call.with.id === keeper.id,
    );
    const hops = lost.map((call) => call.hop);
    this.#ports.clock.after(SETTLE_MS, () => {
      for (const [at, call] of lost.entries()) {
        if (this.#calls.get(call.head.number) !== call || call.taken !== undefined || call.hop !== hops[at]) continue;
        call.head = { ...call.head, attempt: call.head.attempt + 1 };
        this.#ports.log.debug("a call is placed again, since its keeper was lost", { ...aboutCall(call.head), keeper: keeper.id });
        this.#toKeeper(call);
      }
    });
  }

  /** Ends what nobody has taken though its time is over; to be called a few times a second. */
  sweep(): void {
    const now = this.#ports.clock.now();
    for (const call of [...this.#calls.values()]) {
      if (call.taken === undefined) {
        if (now > call.probeAt && this.#ports.bus.connected) this.#probe(call);
        if (now > call.waitUntil + LIMITS.clockGap.value) {
          this.#ports.count("unplaced");
          this.#end(call, new Fault("Throttled", "no place was found in time", { retryAfterMs: 1_000 }));
        }
      } else if (call.untold !== undefined) this.#end(call, call.untold);
      else if (now > call.waitUntil + call.head.timeoutMs + LIMITS.boot.value + LIMITS.load.value) {
        // Its host is alive and says nothing of it any more: the report of its end was lost.
        this.#forget(call);
      }
    }
  }

  /** Asks the holder whether it has the call at all: without the body, since thousands may wait at a keeper. */
  #probe(call: HeldCall): void {
    if (call.with === undefined) return;
    this.#ports.count("probed");
    call.wasProbed = true;
    call.probeMs *= 2;
    call.probeAt = this.#ports.clock.now() + call.probeMs;
    call.hop++;
    const { kind, id } = call.with;
    const back = SUBJECT.back(this.#ports.node, call.head.number, call.hop, call.reply);
    this.#ports.bus.send(kind === "host" ? SUBJECT.host(id) : SUBJECT.keeper(id), joinHead({ ...call.head, probe: true }, NOTHING), back);
  }

  #toHost(call: HeldCall, { host, reason }: HotHost): void {
    const place = { rung: "hot", by: "frontend", reason } as const;
    call.with = { kind: "host", id: host };
    this.#send(call, SUBJECT.host(host), { ...call.head, place });
  }

  #toKeeper(call: HeldCall): void {
    const keeper = rendezvous(`${call.head.account}.${call.head.function}`, this.#ports.schedulers.ids(true));
    call.with = keeper === undefined ? undefined : { kind: "keeper", id: keeper };
    if (keeper === undefined) this.#retryKeeper(call);
    else this.#send(call, SUBJECT.keeper(keeper), call.head);
  }

  /** No keeper, or one that looks absent: the call waits for one as long as it may wait for a place. */
  #retryKeeper(call: HeldCall): void {
    const { clock } = this.#ports;
    if (clock.now() > call.waitUntil) {
      // Its keeper had it, and may have placed it before it went: the sweep ends it, if no host runs it by then.
      if (call.wasProbed) return;
      this.#end(call, new Fault("Unavailable", "no scheduler answers", { retryAfterMs: 1_000 }));
      return;
    }
    const hop = ++call.hop;
    clock.after(RETRY_MS, () => {
      if (this.#calls.has(call.head.number) && call.taken === undefined && call.hop === hop) this.#toKeeper(call);
    });
  }

  #send(call: HeldCall, subject: string, head: CallHead): void {
    if (call.body === undefined) return;
    call.hop++;
    call.wasProbed = false;
    call.probeAt = this.#ports.clock.now() + call.probeMs;
    const waitMs = call.waitUntil - this.#ports.clock.now();
    this.#ports.bus.send(
      subject,
      joinHead({ ...head, waitMs }, call.body),
      SUBJECT.back(this.#ports.node, head.number, call.hop, call.reply),
    );
  }

  #end(call: HeldCall, fault: Fault): void {
    // What is said now would be lost: the next sweep with a connection ends it.
    if (!this.#ports.bus.connected) {
      if (call.taken !== undefined) call.untold = fault;
      return;
    }
    const about = { ...aboutCall(call.head), error: fault.name, message: fault.message };
    if (call.taken === undefined) this.#ports.log.debug("a call ended without a place", about);
    else this.#ports.log.info("a call was lost with its host", { ...about, host: call.taken.host });
    this.#forget(call);
    this.#answer(call.head, call.reply, fault);
  }

  #answer(head: Parameters<typeof tracedHeaders>[0], reply: string, fault: Fault): void {
    this.#ports.bus.send(reply, failureBody(fault), undefined, failureHeaders(fault, tracedHeaders(head)));
  }

  #release(call: HeldCall): void {
    if (call.body === undefined) return;
    this.#bytes -= call.body.length;
    call.body = undefined;
  }

  #forget(call: HeldCall): void {
    this.#release(call);
    this.#calls.delete(call.head.number);
  }
}
