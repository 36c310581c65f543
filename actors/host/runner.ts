/**
 * Runs calls in containers: the path that must be short. A call goes in, one frame goes out; the result frame comes
 * back, one message goes out. Deadlines are looked at by one sweep over all busy containers.
 */
import type { BodyRef } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import type { Thrown } from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Timer } from "../kit/ports.ts";
import type { Call } from "./call.ts";
import type { Container } from "./container.ts";
import { cpuOf, noteCost } from "./cost.ts";
import type { Instance } from "./instance.ts";
import { Outcomes, type OutcomesPorts } from "./outcomes.ts";
import { SentAhead, sendCall, sendLarge } from "./sent-ahead.ts";
import type { Slot } from "./slot.ts";

export interface RunnerPorts extends OutcomesPorts {
  /** False once the host is ending: nothing can run any more. */
  isOpen(): boolean;
  /** True once others have declared this host lost: what still waits here has been answered for. */
  isLost(): boolean;
  changed(instance: Instance): void;
  /** A direct call has grown old: its keeper should know. */
  long(call: Call): void;
  /** The container is done with its call: nothing it still asks counts. */
  left(container: Container): void;
  /** Takes a container out of its slot and stops it. */
  discard(container: Container): void;
}

/** What a bootstrap puts in front of the message when the process ends with the call. */
const DYING = /^(?:Unhandled rejection|Uncaught exception): /;

export class Runner {
  readonly #ports: RunnerPorts;
  readonly #outcomes: Outcomes;
  readonly #ahead: SentAhead;
  readonly #busy = new Set<Container>();
  #sweeping: Timer | undefined = undefined;

  constructor(ports: RunnerPorts) {
    this.#ports = ports;
    this.#outcomes = new Outcomes(ports);
    this.#ahead = new SentAhead(ports.clock);
  }

  /** Results that are being stored, whose callers have no answer yet. */
  get storing(): number {
    return this.#outcomes.storing;
  }

  get busy(): ReadonlySet<Container> {
    return this.#busy;
  }

  /** Runs the call now. Legal for a container of the call's slot that is neither loading nor busy. */
  run(container: Container, call: Call): void {
    if (call.claim !== undefined) this.#fetch(container, call, call.claim);
    else this.#begin(container, call, sendCall(container, call, this.#ports.clock));
  }

  /** The container is the call's while its body is read from the store; that is no run time, and nothing is sent ahead into it. */
  #fetch(container: Container, call: Call, claim: BodyRef): void {
    const { bodies, clock } = this.#ports;
    const large = { fetch: bodies.fetch(call.slot.account, claim), begun: false, isWritten: false };
    container.state = "busy";
    container.call = call;
    // No frame of the container can be about the call before it was sent.
    container.number = container.nextNumber();
    container.startedAt = clock.now();
    container.deadline = Number.POSITIVE_INFINITY;
    container.takingBack = true;
    container.large = large;
    call.container = container.id;
    call.instance = container.instance.id;
    call.slot.busy.add(container);
    this.#busy.add(container);
    this.#ports.changed(container.instance);
    large.fetch.body.then(
      (body) => {
        if (container.large !== large) return;
        if (this.#ports.isLost()) return large.fetch.end();
        container.takingBack = false;
        large.begun = true;
        this.#begin(
          container,
          call,
          sendLarge(container, call, body, clock, () => {
            large.isWritten = true;
            large.fetch.end();
          }),
        );
      },
      (fault: unknown) => {
        if (container.large !== large) return;
        this.#finish(container);
        container.takingBack = false;
        this.fail(call, Fault.from(fault));
        this.free(container);
      },
    );
  }

  /** Sends the call into a busy container where that is worth it. False: it has to wait elsewhere. Legal while nobody waits before it. */
  ahead(call: Call): boolean {
    return this.#ahead.offer(call);
  }

  /** The call waits for a container: ahead in a busy one, or in the slot's queue, which must have room. */
  wait(call: Call): void {
    if (!this.ahead(call)) call.slot.enqueue(call);
  }

  /** A container gives back a call that it has not begun. */
  givenBack(container: Container, number: number): void {
    const call = this.#ahead.givenBack(container, number);
    if (call !== undefined) this.#waitAgain(call);
  }

  /** Ends a call that stands ahead in a container. False when there is no such call. */
  cancelAhead(container: Container, matches: (call: Call) => boolean, fault: Fault): boolean {
    return this.#ahead.cancel(container, matches, fault);
  }

  /** Back into the queue, or at once into a container that is idle. */
  #waitAgain(call: Call): void {
    if (call.cancelled !== undefined) {
      this.fail(call, call.cancelled);
      return;
    }
    this.#ports.counters.add("calls.givenBack");
    call.slot.putBack(call);
    const idle = call.slot.idle.pop();
    if (idle !== undefined) this.free(idle);
  }

  /** The call is the one that the container runs from now on. */
  #begin(container: Container, call: Call, number: number): void {
    const now = this.#ports.clock.now();
    container.number = number;
    container.state = "busy";
    container.call = call;
    container.startedAt = now;
    container.deadline = now + call.timeoutMs;
    call.container = container.id;
    call.instance = container.instance.id;
    call.instanceMb = container.instance.memoryMb;
    call.rung = container.rung;
    call.coldCause = container.coldCause;
    call.startedAt = this.#ports.clock.epoch();
    container.cpuAtStart = call.trace || container.rung !== "hot" ? cpuOf(container) : -1;
    container.rung = "hot";
    container.coldCause = undefined;
    call.slot.busy.add(container);
    this.#busy.add(container);
    if (!call.isIdempotent || container.large !== undefined) call.dropBody();
    this.#ports.changed(container.instance);
    this.#sweeping ??= this.#ports.clock.every(LIMITS.deadlineSweep.value, () => this.#sweep());
  }

  /** A container without a call takes the next one that waits, or is idle. */
  free(container: Container): void {
    const { slot } = container;
    if (!slot || container.state === "ended" || this.#ports.isLost()) return;
    const now = this.#ports.clock.now();
    const first = this.#ahead.next(container);
    if (first !== undefined) {
      this.#begin(container, first.call, first.number);
      if (first.call.cancelled !== undefined) this.end(container, first.call.cancelled);
      else this.#ahead.fill(container, slot);
      return;
    }
    container.takingBack = false;
    for (let next = slot.dequeue(); next !== undefined; next = slot.dequeue()) {
      if (next.waitUntil >= now) {
        this.run(container, next);
        this.#ahead.fill(container, slot);
        return;
      }
      this.expire(next);
    }
    if (slot.isOver) return this.#ports.discard(container);
    container.state = "idle";
    container.idleSince = now;
    slot.idle.push(container);
    this.#ports.changed(container.instance);
  }

  /** A call waited too long. */
  expire(call: Call): void {
    this.#outcomes.expire(call);
  }

  /** Answers a call that does not run (any more) with an error. */
  fail(call: Call, fault: Fault, stack?: string): void {
    this.#outcomes.fail(call, fault, stack);
  }

  /** The same with its stack in terms of the function's source. */
  failMapped(call: Call, fault: Fault, stack: string | undefined): void {
    this.#outcomes.failMapped(call, fault, stack);
  }

  result(container: Container, payload: Uint8Array): void {
    const isUnread = leftUnread(container);
    const call = this.#finish(container);
    if (!call) return;
    this.#outcomes.succeed(call, payload);
    if (isUnread) this.#ports.discard(container);
    else this.free(container);
  }

  failed(container: Container, isBadResult: boolean, thrown: Thrown): void {
    const isUnread = leftUnread(container);
    const call = this.#finish(container);
    if (!call) return;
    this.#outcomes.failed(call, isBadResult, thrown);
    // Its process is ending by itself: the next call must not meet it.
    if (isUnread || DYING.test(thrown.message)) this.#ports.discard(container);
    else this.free(container);
  }

  /** The container is gone or going: its call, if it runs one, gets the error, or waits for another container when it may run twice. */
  lost(container: Container, fault: Fault): void {
    const hadBegun = container.large?.begun !== false;
    const call = this.#finish(container);
    // What stood ahead had not begun: another container serves it.
    for (const waiting of this.#ahead.takeAll(container)) this.#waitAgain(waiting);
    if (!call) return;
    if (!hadBegun && this.#ports.isOpen() && call.slot.hasRoom(0)) {
      call.slot.putBack(call);
      return;
    }
    const mayRunAgain = fault.name === "InstanceLost" && call.isIdempotent && !call.isRerun;
    if (mayRunAgain && this.#ports.isOpen() && call.slot.hasRoom(call.bytesHeld)) {
      this.#ports.counters.add("calls.rerun");
      call.isRerun = true;
      call.waitUntil = this.#ports.clock.now() + LIMITS.boot.value + LIMITS.load.value;
      call.slot.enqueue(call);
    } else this.fail(call, fault);
  }

  /** Ends a running call with an error at once; its container is not used again. */
  end(container: Container, fault: Fault): void {
    const call = this.#finish(container);
    if (call) this.fail(call, fault);
    this.#ports.discard(container);
  }

  close(): void {
    this.#sweeping?.cancel();
    this.#sweeping = undefined;
  }

  /** Takes the call off its container. */
  #finish(container: Container): Call | undefined {
    const { call } = container;
    if (call === undefined) return undefined;
    container.call = undefined;
    container.last = call;
    container.calls++;
    container.deadline = Number.POSITIVE_INFINITY;
    this.#busy.delete(container);
    call.slot.busy.delete(container);
    const { large } = container;
    if (large !== undefined) {
      container.large = undefined;
      // What is on its way into the container counts until it has been read, or the container is gone.
      if (!large.begun) {
        large.fetch.end();
        return call;
      }
    }
    call.slot.stats.ran(this.#ports.clock.now() - container.startedAt, call.startedAt - call.receivedAt);
    if (container.insideUs >= 0) call.slot.stats.ranInside(container.insideUs / 1_000);
    container.insideUs = -1;
    if (call.head === undefined) call.slot.stats.direct++;
    call.slot.stats.rungs[call.rung] = (call.slot.stats.rungs[call.rung] ?? 0) + 1;
    noteCost(container, call);
    if (container.requests > 0) this.#ports.left(container);
    return call;
  }

  #sweep(): void {
    if (this.#busy.size === 0) {
      this.close();
      return;
    }
    // What has grown old meanwhile would be told to nobody who still listens.
    if (this.#ports.isLost()) return;
    const now = this.#ports.clock.now();
    const slots = new Set<Slot>();
    for (const container of this.#busy) {
      const { call } = container;
      if (!call) continue;
      if (call.slot.queued > 0) slots.add(call.slot);
      this.#ahead.takeBackIfSlow(container, now);
      if (now >= container.deadline) {
        this.end(container, new Fault("TimedOut", `the function ran longer than its ${call.timeoutMs} ms and was ended`));
      } else this.age(call, now);
    }
    for (const slot of slots) {
      // In the order in which they came: the first young one ends the search.
      for (const call of slot.waiting()) if (!this.age(call, now)) break;
    }
  }

  /** Tells the keeper of a direct call that has grown old, running or waiting. False for a call that is young. */
  age(call: Call, now: number): boolean {
    if (now - call.arrivedAt <= LIMITS.lostDirectCall.value) return false;
    if (call.grant !== undefined && !call.toldLong) {
      call.toldLong = true;
      this.#ports.long(call);
    }
    return true;
  }
}

/**
 * True when the container has not read the large body of its call. One that answers all the same is not used again: what it leaves would
 * stay in this process for as long as it lives.
 */
const leftUnread = ({ large }: Container): boolean => large?.begun === true && !large.isWritten;
