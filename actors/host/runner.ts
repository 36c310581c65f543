/**
 * Runs calls in containers: the path that must be short. A call goes in, one frame goes out; the result frame comes
 * back, one message goes out. Deadlines are looked at by one sweep over all busy containers.
 */
import { Fault } from "../../protocol/errors.ts";
import { FRAME, type Thrown } from "../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import type { Clock, Log, Timer } from "../kit/ports.ts";
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
    const now = this.#ports.clock.now();
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
    const end = call.startedAt + call.timeoutMs;
    const extra = call.head === undefined ? call.stampedExtra(end) : extraOf(end, call.head.call);
    container.box.send(FRAME.call, 0, container.nextNumber(), extra, call.body);
    if (!call.isIdempotent) call.dropBody();
    this.#ports.changed(container.instance);
    this.#sweeping ??= this.#ports.clock.every(LIMITS.deadlineSweep.value, () => this.#sweep());
  }

  /** A container without a call takes the next one that waits, or is idle. */
  free(container: Container): void {
    const { slot } = container;
    if (!slot || container.state === "ended" || this.#ports.isLost()) return;
    const now = this.#ports.clock.now();
    for (let next = slot.dequeue(); next !== undefined; next = slot.dequeue()) {
      if (next.waitUntil >= now) {
        this.run(container, next);
        return;
      }
      this.expire(next);
    }
    container.state = "idle";
    container.idleSince = now;
    slot.idle.push(container);
    this.#ports.changed(container.instance);
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
