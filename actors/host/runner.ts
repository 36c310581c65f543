/**
 * Runs calls in containers: the path that must be short. A call goes in, one frame goes out; the result frame comes
 * back, one message goes out. Deadlines are looked at by one sweep over all busy containers.
 */
import { Fault } from "../../protocol/errors.ts";
import { FRAME, type Thrown } from "../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { GIVES_BACK } from "../../protocol/runtimes.ts";
import type { Clock, Log, Timer } from "../kit/ports.ts";
import { aheadDepth } from "./ahead.ts";
import type { Call } from "./call.ts";
import { extraOf } from "./call-stamp.ts";
import type { Container } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { Instance } from "./instance.ts";
import type { Replies } from "./replies.ts";
import type { Slot } from "./slot.ts";

export interface RunnerPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly replies: Replies;
  readonly counters: Counters;
  mapStack(digest: string, stack: string): Promise<string> | string;
  /** False once the host is ending: nothing can run any more. */
  isOpen(): boolean;
  /** True once others have declared this host lost: what still waits here has been answered for. */
  isLost(): boolean;
  /** Digest of the slot's code, where it is still known. */
  digestOf(slot: Slot): string | undefined;
  changed(instance: Instance): void;
  /** The call has ended, whichever way; told once per call. */
  done(call: Call): void;
  /** A direct call has grown old: its keeper should know. */
  long(call: Call): void;
  /** The container is done with its call: nothing it still asks counts. */
  left(container: Container): void;
  /** Takes a container out of its slot and stops it. */
  discard(container: Container): void;
}

const NOTHING = new Uint8Array(0);

/** What a bootstrap puts in front of the message when the process ends with the call. */
const DYING = /^(?:Unhandled rejection|Uncaught exception): /;

export class Runner {
  readonly #ports: RunnerPorts;
  readonly #busy = new Set<Container>();
  #sweeping: Timer | undefined = undefined;

  constructor(ports: RunnerPorts) {
    this.#ports = ports;
  }

  get busy(): ReadonlySet<Container> {
    return this.#busy;
  }

  /** Runs the call now. Legal for a container of the call's slot that is neither loading nor busy. */
  run(container: Container, call: Call): void {
    this.#begin(container, call, this.#send(container, call));
  }

  /**
   * Sends the call into a busy container, behind its running one, when runs of the slot are short enough; the one that
   * has most ahead already, so that others empty. False: it has to wait elsewhere. Legal while nobody waits before it.
   */
  ahead(call: Call): boolean {
    const { slot } = call;
    if (slot.busy.size === 0 || slot.queued > 0) return false;
    const depth = this.#depth(slot, call.bytesIn);
    if (depth === 0) return false;
    let best: Container | undefined;
    for (const container of slot.busy) {
      if (container.takingBack || container.ahead.length >= depth) continue;
      if (best === undefined || container.ahead.length > best.ahead.length) best = container;
    }
    if (best === undefined) return false;
    best.ahead.push({ call, number: this.#send(best, call) });
    return true;
  }

  /** The call waits for a container: ahead in a busy one, or in the slot's queue, which must have room. */
  wait(call: Call): void {
    if (!this.ahead(call)) call.slot.enqueue(call);
  }

  /** A container gives back a call that it has not begun. */
  givenBack(container: Container, number: number): void {
    const at = container.ahead.findIndex((one) => one.number === number);
    const [given] = at < 0 ? [] : container.ahead.splice(at, 1);
    if (given === undefined) return;
    this.#waitAgain(given.call);
  }

  /** Ends a call that stands ahead in a container. False when there is no such call. */
  cancelAhead(container: Container, matches: (call: Call) => boolean, fault: Fault): boolean {
    const entry = container.ahead.find(({ call }) => matches(call));
    if (entry === undefined) return false;
    // Should it begin before it is given back, its run is ended like that of any cancelled call.
    entry.call.cancelled = fault;
    container.box.send(FRAME.takeBack, 0, entry.number, NOTHING, NOTHING);
    return true;
  }

  #depth(slot: Slot, bodyBytes: number): number {
    const runtime = slot.code?.runtime;
    return aheadDepth({
      meanRunMs: slot.stats.meanInsideMs ?? slot.stats.meanRunMs,
      givesBack: runtime !== undefined && GIVES_BACK[runtime],
      bodyBytes,
    });
  }

  #send(container: Container, call: Call): number {
    const end = this.#ports.clock.epoch() + call.timeoutMs;
    const extra = call.head === undefined ? call.stampedExtra(end) : extraOf(end, call.head.call);
    const number = container.nextNumber();
    container.box.send(FRAME.call, 0, number, extra, call.body);
    return number;
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
    if (!call.isIdempotent) call.dropBody();
    this.#ports.changed(container.instance);
    this.#sweeping ??= this.#ports.clock.every(LIMITS.deadlineSweep.value, () => this.#sweep());
  }

  /** A container without a call takes the next one that waits, or is idle. */
  free(container: Container): void {
    const { slot } = container;
    if (!slot || container.state === "ended" || this.#ports.isLost()) return;
    const now = this.#ports.clock.now();
    const first = container.ahead.shift();
    if (first !== undefined) {
      this.#begin(container, first.call, first.number);
      if (first.call.cancelled !== undefined) this.end(container, first.call.cancelled);
      else this.#fill(container, slot);
      return;
    }
    container.takingBack = false;
    for (let next = slot.dequeue(); next !== undefined; next = slot.dequeue()) {
      if (next.waitUntil >= now) {
        this.run(container, next);
        this.#fill(container, slot);
        return;
      }
      this.expire(next);
    }
    container.state = "idle";
    container.idleSince = now;
    slot.idle.push(container);
    this.#ports.changed(container.instance);
  }

  /** Sends ahead from the queue what the container may have. */
  #fill(container: Container, slot: Slot): void {
    for (let { first } = slot; first !== undefined && !container.takingBack; { first } = slot) {
      if (container.ahead.length >= this.#depth(slot, first.bytesIn)) return;
      slot.dequeue();
      container.ahead.push({ call: first, number: this.#send(container, first) });
    }
  }

  /** Asks back what stands ahead: the running call takes longer than forecast. */
  #takeBack(container: Container): void {
    container.takingBack = true;
    for (const { number } of container.ahead) container.box.send(FRAME.takeBack, 0, number, NOTHING, NOTHING);
  }

  /** A call waited too long. */
  expire(call: Call): void {
    this.#ports.counters.add("calls.expired");
    this.fail(call, new Fault("Throttled", "no container became free in time", { retryAfterMs: 1_000 }));
  }

  /** Answers a call that does not run (any more) with an error. */
  fail(call: Call, fault: Fault, stack?: string): void {
    call.dropBody();
    call.endedAt = this.#ports.clock.epoch();
    call.error = fault.name;
    call.message = fault.message.slice(0, 1_024);
    call.slot.stats.failed(fault.name);
    this.#ports.replies.fail(call, fault, stack);
    this.#ports.done(call);
  }

  result(container: Container, payload: Uint8Array): void {
    const call = this.#finish(container);
    if (!call) return;
    if (payload.length > BODY_LIMIT) {
      this.fail(call, new Fault("ResultTooLarge", `the result has ${payload.length} bytes; at most ${BODY_LIMIT} can be sent`));
    } else {
      call.dropBody();
      call.bytesOut = payload.length;
      call.endedAt = this.#ports.clock.epoch();
      this.#ports.replies.succeed(call, payload);
      this.#ports.done(call);
    }
    this.free(container);
  }

  failed(container: Container, isBadResult: boolean, thrown: Thrown): void {
    const call = this.#finish(container);
    if (!call) return;
    const said = thrown.message === "" ? thrown.type : isBadResult ? thrown.message : `${thrown.type}: ${thrown.message}`;
    const badResult = thrown.type === "ResultTooLarge" ? "ResultTooLarge" : "BadResult";
    this.failMapped(call, new Fault(isBadResult ? badResult : "HandlerError", said), isBadResult ? undefined : thrown.stack);
    // Its process is ending by itself: the next call must not meet it.
    if (DYING.test(thrown.message)) this.#ports.discard(container);
    else this.free(container);
  }

  /** Fails a call with its stack in terms of the function's source; the map may have to be fetched first. */
  failMapped(call: Call, fault: Fault, stack: string | undefined): void {
    const digest = this.#ports.digestOf(call.slot);
    if (stack === undefined || digest === undefined || call.reply === "") {
      this.fail(call, fault, stack);
      return;
    }
    Promise.resolve()
      .then(() => this.#ports.mapStack(digest, stack))
      .catch((error: unknown) => {
        this.#ports.log.debug("a stack was not mapped", { digest, error: String(error) });
        return stack;
      })
      .then((mapped) => this.fail(call, fault, mapped))
      .catch((error: unknown) => this.#ports.log.error("a failed call was not answered", { error: String(error) }));
  }

  /** The container is gone or going: its call, if it runs one, gets the error, or waits for another container when it may run twice. */
  lost(container: Container, fault: Fault): void {
    const call = this.#finish(container);
    // What stood ahead had not begun: another container serves it.
    for (const { call: waiting } of container.ahead.splice(0)) this.#waitAgain(waiting);
    if (!call) return;
    const mayRunAgain = fault.name === "InstanceLost" && call.isIdempotent && !call.isRerun;
    if (mayRunAgain && this.#ports.isOpen() && call.slot.hasRoom(call.bytesIn)) {
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
    call.slot.stats.ran(this.#ports.clock.now() - container.startedAt);
    if (container.insideUs >= 0) call.slot.stats.ranInside(container.insideUs / 1_000);
    container.insideUs = -1;
    if (call.head === undefined) call.slot.stats.direct++;
    call.slot.stats.rungs[call.rung] = (call.slot.stats.rungs[call.rung] ?? 0) + 1;
    if (container.cpuAtStart >= 0) measure(container, call);
    if (container.requests > 0) this.#ports.left(container);
    return call;
  }

  #sweep(): void {
    if (this.#busy.size === 0) {
      this.close();
      return;
    }
    const now = this.#ports.clock.now();
    const slots = new Set<Slot>();
    for (const container of this.#busy) {
      const { call } = container;
      if (!call) continue;
      if (call.slot.queued > 0) slots.add(call.slot);
      if (container.ahead.length > 0 && !container.takingBack && now - container.startedAt > LIMITS.aheadSlow.value)
        this.#takeBack(container);
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

/** The sandbox may fail to tell: a figure is then missing, nothing more. */
function cpuOf(container: Container): number {
  try {
    return container.box.stats().cpuMicroseconds;
  } catch {
    return -1;
  }
}

function measure(container: Container, call: Call): void {
  try {
    const stats = container.box.stats();
    call.memoryPeakBytes = Math.round(stats.memoryPeakBytes);
    call.cpuMicroseconds = Math.max(0, Math.round(stats.cpuMicroseconds - container.cpuAtStart));
  } catch {
    // Gone already: the figure is missing.
  }
}
