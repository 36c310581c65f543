/**
 * Calls that a frontend or keeper places here by name of the host. Each is taken or refused; a refusal changes nothing.
 * Whichever container of the slot becomes free first serves it (F025); the reply tells the rung of that container.
 */
import { splitHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type CallHead, callHead, type Refusal } from "../../protocol/messages/call.ts";
import { slotKey } from "../../protocol/names.ts";
import { type BackSubject, isAnswerable, parseBackSubject } from "../../protocol/subjects.ts";
import { aboutCall } from "../kit/about-call.ts";
import type { Message } from "../kit/bus.ts";
import type { Clock, Log } from "../kit/ports.ts";
import { admit } from "./admission.ts";
import { Call } from "./call.ts";
import type { CallStamp } from "./call-stamp.ts";
import type { Counters } from "./counters.ts";
import type { HandOnTime } from "./hand-on-time.ts";
import type { CodeOf } from "./provision.ts";
import type { Replies } from "./replies.ts";
import type { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";
import { type Supply, wantedBy } from "./supply.ts";
import type { Versions } from "./versions.ts";

export interface OrdersPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly stamp: CallStamp;
  readonly slots: Slots;
  readonly supply: Supply;
  readonly versions: Versions;
  readonly runner: Runner;
  readonly replies: Replies;
  readonly counters: Counters;
  readonly handOn: HandOnTime;
  isTaking(): boolean;
  /** True just after a gap of the clock: what arrives had piled up. */
  isPilingUp(now: number): boolean;
  taken(call: Call): void;
  /** About to refuse: what the placer believed was wrong. */
  refused(): void;
}

interface Order {
  readonly head: CallHead;
  body: Uint8Array;
  readonly back: BackSubject;
  /** The whole back subject. */
  readonly subject: string;
  readonly arrivedAt: number;
}

export class Orders {
  readonly #ports: OrdersPorts;
  /** Calls that were taken, oldest first. */
  readonly #seen = new Set<string>();
  /** Calls whose code is being looked up: neither taken nor refused yet. */
  readonly #pending = new Set<string>();

  constructor(ports: OrdersPorts) {
    this.#ports = ports;
  }

  arrived(message: Message): void {
    const { counters, clock } = this.#ports;
    const subject = message.reply;
    const back = parseBackSubject(subject);
    if (back === undefined || !isBack(back)) return counters.add("orders.badReply");
    if (back.reply !== "" && !isOurAnswerable(back.reply)) {
      counters.add("orders.badInbox");
      return this.#declineUnread(subject, "the caller's reply subject may not be answered");
    }
    let order: Order;
    try {
      const { head, body } = splitHead(message.body);
      order = { head: callHead.parse(head), body, back, subject, arrivedAt: clock.now() };
    } catch (thrown) {
      return this.#declineUnread(subject, Fault.from(thrown).message);
    }
    if (order.head.probe === true) return this.#probed(order);
    if (!this.#ports.isTaking()) return this.#decline(order, "draining", "the host is stopping");
    if (this.#ports.isPilingUp(order.arrivedAt))
      return this.#decline(order, "queue-full", "the host slept, and drops what piled up meanwhile");
    if (this.#seen.has(order.head.call)) return this.#decline(order, "duplicate", "this call was taken here before");
    if (order.head.place === undefined) return this.#decline(order, "malformed", "the order names no rung");
    if (order.head.place.rung === "hot") this.#hot(order);
    else this.#withCode(order);
  }

  /** Whoever sent a call has heard nothing of it: the order was lost on the way, or the report was. */
  #probed(order: Order): void {
    const { call } = order.head;
    if (this.#pending.has(call)) return;
    if (this.#seen.has(call)) this.#decline(order, "duplicate", "this call was taken here before");
    else this.#decline(order, "no-container", "this call never came here");
  }

  #hot(order: Order): void {
    const { head } = order;
    const slot = this.#ports.slots.find(slotKey(head.account, head.function, head.inline?.digest ?? head.version, head.memoryMb));
    if (slot === undefined || slot.containers === 0) return this.#decline(order, "no-container", "no container here has the code");
    const container = slot.idle.pop();
    if (container) this.#ports.runner.run(container, this.#take(order, slot));
    else if (!slot.hasRoom(order.body.length)) this.#decline(order, "queue-full", "too many calls of the function wait here");
    else if (head.place?.queue !== true && this.#newWouldBeSooner(slot, head.containers))
      this.#decline(order, "no-container", "all containers are busy, and a new one would be sooner");
    else this.#ports.runner.wait(this.#take(order, slot));
  }

  /** The placer saw an idle container that is busy by now: it is asked to weigh again (F025). */
  #newWouldBeSooner(slot: Slot, cap: number): boolean {
    const { clock, handOn, supply } = this.#ports;
    return (
      admit({
        ...slot.load,
        createMs: supply.createMs(slot),
        handOnMs: handOn.ms(clock.now()),
        atCap: slot.containers >= cap,
        hasQueueRoom: true,
      }) === "hand-on"
    );
  }

  #withCode(order: Order): void {
    const code = this.#ports.versions.codeOf(order.head);
    if (!(code instanceof Promise)) return this.#make(order, code);
    order.body = order.body.slice();
    const { call } = order.head;
    if (this.#pending.has(call)) return this.#decline(order, "duplicate", "this call is here already");
    this.#pending.add(call);
    code.then(
      (known) => {
        this.#pending.delete(call);
        if (!this.#ports.isTaking()) this.#decline(order, "draining", "the host is stopping");
        else if (this.#seen.has(order.head.call)) this.#decline(order, "duplicate", "this call was taken here before");
        else this.#make(order, known);
      },
      (error: unknown) => {
        this.#pending.delete(call);
        // What the order names cannot be found out: no other host knows it better.
        const slot = this.#ports.slots.of(order.head);
        this.#ports.runner.fail(this.#take(order, slot), Fault.from(error));
        this.#ports.slots.release(slot);
      },
    );
  }

  #make(order: Order, code: CodeOf): void {
    const { head } = order;
    const { slots, runner, supply } = this.#ports;
    const slot = slots.of({ ...head, digest: head.inline?.digest });
    const idle = slot.idle.pop();
    if (idle) {
      runner.run(idle, this.#take(order, slot));
      return;
    }
    const wanted = wantedBy(head, slot, code);
    const refused =
      wanted === undefined
        ? { refused: "malformed" as const, reason: "the order names no rung" }
        : slot.hasRoom(order.body.length)
          ? supply.make(wanted)
          : { refused: "queue-full" as const, reason: "too many calls of the function wait here" };
    if (refused) {
      slots.release(slot);
      this.#decline(order, refused.refused, refused.reason);
    } else slot.enqueue(this.#take(order, slot, LIMITS.boot.value + LIMITS.load.value));
  }

  /** From here on the call is this host's. `makingMs`: what the making of its own container may take; a call that has a place waits for that. */
  #take(order: Order, slot: Call["slot"], makingMs = 0): Call {
    const { head, back, arrivedAt } = order;
    this.#seen.add(head.call);
    if (this.#seen.size > LIMITS.seenCalls.value) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    const call = new Call({
      slot,
      reply: back.reply,
      body: order.body,
      head,
      placer: { node: back.node, number: back.number },
      grant: undefined,
      arrivedAt,
      receivedAt: head.receivedAt,
      // A container that is being made for it may come later than it would have waited for one that runs.
      waitUntil: arrivedAt + Math.max(makingMs, head.waitMs),
      timeoutMs: head.timeoutMs,
      trace: head.trace,
      stamp: this.#ports.stamp,
    });
    call.traceparent = head.traceparent;
    this.#ports.taken(call);
    return call;
  }

  #decline({ head, subject }: Order, refused: Refusal["refused"], reason: string): void {
    this.#ports.log.debug("a call was not taken", { ...aboutCall(head), refused, reason });
    this.#answer(subject, refused, reason);
  }

  /** What came says of no call. */
  #declineUnread(subject: string, reason: string): void {
    this.#answer(subject, "malformed", reason);
  }

  #answer(subject: string, refused: Refusal["refused"], reason: string): void {
    this.#ports.counters.add(`refused.${refused}`);
    // First what has changed, so that the placer's next choice is made with it.
    this.#ports.refused();
    this.#ports.replies.decline(subject, refused, reason);
  }
}

function isBack(back: BackSubject): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(back.node) && Number.isSafeInteger(back.number) && back.number >= 0;
}

/** Callers' inboxes, and those of our own nodes, which no caller can name. */
function isOurAnswerable(reply: string): boolean {
  if (reply.startsWith("_pilot.inbox.")) return isAnswerable(`_INBOX.${reply}`, LIMITS.replySubject.value);
  return isAnswerable(reply, LIMITS.replySubject.value);
}
