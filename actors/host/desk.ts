/**
 * The direct path: with a grant the host answers a function's public subject itself.
 *
 * D1  A call without headers that finds an idle container costs one object and one frame: no timer, no text, no promise.
 * D2  What arrives after the grant ended (recalled, expired, another version) is never run here, but handed to a frontend.
 * D3  What piled up while the host slept is never run, and its caller hears that.
 */
import { Fault } from "../../protocol/errors.ts";
import { CALL_HEADERS } from "../../protocol/headers.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import type { Grant } from "../../protocol/messages/host.ts";
import { DESK, isAnswerable, SUBJECT } from "../../protocol/subjects.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import type { Clock } from "../kit/ports.ts";
import { admit } from "./admission.ts";
import { Call } from "./call.ts";
import type { CallStamp } from "./call-stamp.ts";
import type { Counters } from "./counters.ts";
import type { HandedCalls } from "./handed.ts";
import type { Replies } from "./replies.ts";
import type { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";
import type { Supply } from "./supply.ts";

/** A grant as the host holds it. */
interface Held {
  grant: Grant;
  slot: Slot;
  /** Monotonic. */
  expiresAt: number;
  isActive: boolean;
  readonly subscriptions: Subscription[];
}

/** What the headers of a direct call say, where a host may honour them. */
interface Said {
  trace: boolean;
  deadlineMs: number;
  traceparent: string | undefined;
}

export interface DeskPorts {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly stamp: CallStamp;
  readonly slots: Slots;
  readonly supply: Supply;
  readonly runner: Runner;
  readonly replies: Replies;
  readonly counters: Counters;
  readonly handed: HandedCalls;
  /** A direct call is handed on. */
  left(call: Call): void;
  /** Tells what has changed, if that was not done just now. */
  announce(): void;
  /** False: no grant is taken. */
  readonly answersDirectly: boolean;
  isTaking(): boolean;
  isPilingUp(now: number): boolean;
}

/** D3: how old the call is cannot be known, so it is not run; nobody else has it, so this host must say so. */
const SLEPT = (): Fault =>
  new Fault("Unavailable", "the host stood still while the call lay in its queue; the call did not run", {
    retryAfterMs: LIMITS.pileUp.value,
  });

/** Epochs of functions whose grants ended, so that an older grant is not believed. */
const EPOCHS_KEPT = 10_000;

export class Desk {
  readonly #ports: DeskPorts;
  readonly #held = new Map<string, Held>();
  readonly #epochs = new Map<string, number>();
  readonly #leaving = new Set<Promise<unknown>>();

  constructor(ports: DeskPorts) {
    this.#ports = ports;
  }

  /** Takes or renews grants. Returns `account.function` of those that were refused. */
  grant(grants: readonly Grant[]): string[] {
    return grants.filter((grant) => !this.#take(grant)).map((grant) => `${grant.account}.${grant.function}`);
  }

  /** Ends a grant; resolves when the host has left the desk. An older recall than the grant is of no effect. */
  async recall(account: string, name: string, epoch: number): Promise<void> {
    const key = `${account}.${name}`;
    this.#learn(key, epoch);
    const held = this.#held.get(key);
    if (held && held.grant.epoch <= epoch) await this.#leave(key, held);
    else await Promise.all(this.#leaving);
  }

  /** Ends all grants, and resolves when the desk is left. */
  async leave(): Promise<void> {
    for (const [key, held] of this.#held) void this.#leave(key, held);
    await Promise.all(this.#leaving);
  }

  /** Leaves what has expired; to be called a few times a second. */
  sweep(now: number): void {
    for (const [key, held] of this.#held) {
      if (now < held.expiresAt) continue;
      this.#ports.counters.add("grants.expired");
      void this.#leave(key, held);
    }
  }

  grants(): IterableIterator<{ readonly grant: Grant; readonly expiresAt: number }> {
    return this.#held.values();
  }

  #take(grant: Grant): boolean {
    const key = `${grant.account}.${grant.function}`;
    if (!this.#ports.answersDirectly || !this.#ports.isTaking() || grant.epoch < (this.#epochs.get(key) ?? 0)) {
      this.#ports.counters.add("grants.refused");
      return false;
    }
    this.#learn(key, grant.epoch);
    const slot = this.#ports.slots.of(grant);
    const expiresAt = this.#ports.clock.now() + grant.lifeMs;
    let held = this.#held.get(key);
    if (held === undefined) {
      held = { grant, slot, expiresAt, isActive: true, subscriptions: [] };
      slot.grants++;
      this.#held.set(key, held);
    } else {
      const before = held.slot;
      held.grant = grant;
      held.expiresAt = expiresAt;
      if (before !== slot) {
        slot.grants++;
        held.slot = slot;
        before.grants--;
        this.#handOnQueued(before);
        this.#ports.slots.release(before);
      }
    }
    this.#subscribe(held);
    return true;
  }

  #subscribe(held: Held): void {
    const { account, function: name, subscriptions } = held.grant;
    while (held.subscriptions.length < subscriptions) {
      held.subscriptions.push(this.#ports.bus.listen(SUBJECT.fn(account, name), { queue: DESK }, (message) => this.#direct(held, message)));
    }
    for (const surplus of held.subscriptions.splice(subscriptions)) void this.#track(surplus.stop());
  }

  #leave(key: string, held: Held): Promise<void> {
    held.isActive = false;
    if (this.#held.get(key) === held) this.#held.delete(key);
    held.slot.grants--;
    this.#handOnQueued(held.slot);
    this.#ports.slots.release(held.slot);
    return this.#track(Promise.all(held.subscriptions.splice(0).map((subscription) => subscription.stop())));
  }

  #track(left: Promise<unknown>): Promise<void> {
    const settled = left.then(
      () => undefined,
      () => undefined,
    );
    this.#leaving.add(settled);
    return settled.finally(() => this.#leaving.delete(settled));
  }

  #learn(key: string, epoch: number): void {
    const known = this.#epochs.get(key) ?? 0;
    this.#epochs.delete(key);
    this.#epochs.set(key, Math.max(known, epoch));
    if (this.#epochs.size > EPOCHS_KEPT) {
      for (const oldest of this.#epochs.keys()) {
        if (this.#held.has(oldest)) continue;
        this.#epochs.delete(oldest);
        return;
      }
    }
  }

  /** The fast path. */
  #direct(held: Held, message: Message): void {
    const { clock, counters, runner } = this.#ports;
    const { reply, body } = message;
    if (!isAnswerable(reply, LIMITS.replySubject.value)) return counters.add("direct.badReply");
    const now = clock.now();
    if (this.#ports.isPilingUp(now)) {
      counters.add("direct.piledUp");
      return this.#ports.replies.refuse(reply, SLEPT());
    }
    let said: Said | undefined;
    if (message.hasHeaders) {
      try {
        said = this.#read(message);
      } catch (thrown) {
        return this.#ports.replies.refuse(reply, Fault.from(thrown));
      }
      if (said === undefined) return this.#toDesk(held.grant, message);
    }
    if (!held.isActive || now >= held.expiresAt) return this.#toDesk(held.grant, message);
    if (body.length > BODY_LIMIT) {
      return this.#ports.replies.refuse(
        reply,
        new Fault("PayloadTooLarge", `the body has ${body.length} bytes; at most ${BODY_LIMIT} can be sent`),
      );
    }
    const { grant, slot } = held;
    const call = new Call({
      slot,
      reply,
      body,
      head: undefined,
      placer: undefined,
      grant,
      arrivedAt: now,
      receivedAt: clock.epoch(),
      waitUntil: now + (said?.deadlineMs ?? LIMITS.waitForPlace.value),
      timeoutMs: grant.timeoutMs,
      trace: said?.trace ?? false,
      stamp: this.#ports.stamp,
    });
    if (said?.traceparent !== undefined) call.traceparent = said.traceparent;
    // Short runs fill a busy container first: waking another process costs more than the wait.
    if (slot.busy.size > 0 && runner.ahead(call)) return;
    const container = slot.idle.pop();
    if (container !== undefined) runner.run(container, call);
    else this.#admit(call, grant);
  }

  #admit(call: Call, grant: Grant): void {
    const { slot } = call;
    const verdict = admit({
      queued: slot.queued + slot.ahead,
      slots: slot.busy.size + slot.loading,
      meanRunMs: slot.stats.meanRunMs,
      createMs: this.#ports.supply.createMs(slot),
      atCap: slot.containers >= grant.containers,
      hasQueueRoom: slot.hasRoom(call.bytesIn),
    });
    if (verdict === "queue") this.#ports.runner.wait(call);
    else this.#handOn(call, grant);
  }

  #handOn(call: Call, grant: Grant): void {
    // Else the keeper sees containers idle that are busy by now, and sends the call back to wait for them.
    this.#ports.announce();
    this.#ports.left(call);
    this.#ports.handed.toKeeper(
      grant.keeper,
      {
        call: call.id,
        account: grant.account,
        function: grant.function,
        version: grant.version,
        memoryMb: grant.memoryMb,
        timeoutMs: grant.timeoutMs,
        keepAliveMs: grant.keepAliveMs,
        containers: grant.containers,
        waitMs: Math.max(0, call.waitUntil - this.#ports.clock.now()),
        receivedAt: call.receivedAt,
        trace: call.trace,
        ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
        class: grant.class,
        attempt: 1,
        idempotent: grant.idempotent,
      },
      call.body,
      call.reply,
    );
  }

  /** Hands the direct calls that wait in a slot to the function's keeper, which may know a better place. */
  handOver(slot: Slot): void {
    for (const call of slot.takeOut((waiting) => waiting.grant !== undefined)) if (call.grant) this.#handOn(call, call.grant);
  }

  /** The version is no longer granted: what waits for it must not be answered by it. */
  #handOnQueued(slot: Slot): void {
    for (const call of slot.takeOut((waiting) => waiting.grant !== undefined)) {
      this.#ports.left(call);
      const waitedMs = this.#ports.clock.now() - call.arrivedAt;
      const headers: Record<string, string> = {
        "Pilot-Deadline": String(Math.max(1, Math.round(call.waitUntil - call.arrivedAt))),
        ...(call.trace && { "Pilot-Trace": "1" }),
        ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
      };
      this.#ports.handed.toDesk(
        { account: slot.account, function: slot.function, headers, receivedAt: call.receivedAt, waitedMs },
        call.body,
        call.reply,
      );
    }
  }

  #toDesk(grant: Grant, message: Message): void {
    const headers: Record<string, string> = {};
    let count = 0;
    for (const name of message.headerNames()) {
      const lower = name.toLowerCase();
      if (!lower.startsWith("pilot-") && lower !== "traceparent") continue;
      const value = message.header(name) ?? "";
      if (++count > LIMITS.callHeaders.value || name.length > 64 || value.length > 1_024) {
        return this.#ports.replies.refuse(message.reply, new Fault("BadHeader", "the call has too many or too long Pilot- headers"));
      }
      headers[name] = value;
    }
    const { account, function: name } = grant;
    this.#ports.handed.toDesk(
      { account, function: name, headers, receivedAt: this.#ports.clock.epoch(), waitedMs: 0 },
      message.body,
      message.reply,
    );
  }

  /** Undefined: something in the headers is for a frontend to decide, or to complain of. */
  #read(message: Message): Said | undefined {
    const said: Said = { trace: false, deadlineMs: LIMITS.waitForPlace.value, traceparent: undefined };
    for (const name of message.headerNames()) {
      const lower = name.toLowerCase();
      if (lower === "traceparent") {
        const value = message.header(name);
        if (value !== undefined && value.length <= 64) said.traceparent = value;
        continue;
      }
      if (!lower.startsWith("pilot-")) continue;
      const value = message.header(name) ?? "";
      if (!isDirect(name)) return undefined;
      if (name === "Pilot-Trace" && value === "1") said.trace = true;
      else if (name === "Pilot-Deadline" && /^[1-9][0-9]{0,8}$/.test(value)) said.deadlineMs = Number(value);
      else return undefined;
    }
    return said;
  }
}

function isDirect(name: string): boolean {
  return Object.hasOwn(CALL_HEADERS, name) && CALL_HEADERS[name as keyof typeof CALL_HEADERS].direct;
}
