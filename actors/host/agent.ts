/**
 * The host agent: lives the life of machine.ts, from the first announcement to the last report. What it is made of is in
 * parts.ts, what it hears in listening.ts, what it does on ticks in rounds.ts. All I/O comes in through the ports.
 *
 * H1  When it drains it leaves the desk and is announced as draining before it ends, so that nobody sends it more.
 * H2  At its end no instance is left, calls that still wait have been answered, and what was gathered to be told is told.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Series } from "../../protocol/messages/metrics.ts";
import type { Subscription } from "../kit/bus.ts";
import type { Inspection } from "../kit/inspection.ts";
import { startActor } from "../kit/start-actor.ts";
import { Transitions } from "../kit/transitions.ts";
import { describe } from "./describe.ts";
import { Functions } from "./functions.ts";
import { listen } from "./listening.ts";
import { hostMachine } from "./machine.ts";
import { hostMetrics } from "./metrics.ts";
import { type Life, Parts } from "./parts.ts";
import type { Host, HostDescription, HostOptions, HostPorts } from "./ports.ts";
import { Rounds } from "./rounds.ts";

export type { Host, HostOptions, HostPorts } from "./ports.ts";

/** Starts a host: it fills its warm pool, announces itself and takes calls at once. */
export function startHost(ports: HostPorts, options: HostOptions): Host {
  return new Agent(ports, options);
}

class Agent implements Host, Life {
  readonly #ports: HostPorts;
  readonly #options: HostOptions;
  readonly #transitions: Transitions;
  readonly #machine;
  readonly #parts: Parts;
  readonly #subscriptions: Subscription[];
  readonly #tick;
  readonly dismissed: Promise<number>;
  #dismissed: (waitMs: number) => void = () => undefined;
  #ended: Promise<void> | undefined = undefined;
  #isEnding = false;
  readonly epoch: string;

  constructor(ports: HostPorts, options: HostOptions) {
    const { clock, log, random } = ports;
    this.#ports = ports;
    this.#options = options;
    this.#transitions = new Transitions(clock);
    this.epoch = random.id(12);
    this.dismissed = new Promise((resolve) => {
      this.#dismissed = resolve;
    });
    const failed = (error: unknown) => log.error("host machine failed", { error: String(error) });
    this.#machine = startActor(hostMachine, undefined as never, failed, this.#transitions.watch("host"));
    this.#parts = new Parts(ports, options, this, this.#transitions);
    this.#subscriptions = listen(ports, options.host, this.#parts, this, () => this.describe());
    const rounds = new Rounds(ports, this.#parts);
    this.#tick = clock.every(LIMITS.hostTick.value, () => rounds.look());
    this.#parts.pool.refill();
    this.#machine.send({ type: "joined" });
    if (options.cordoned === true) this.#machine.send({ type: "cordon", reason: "it was cordoned when it stopped" });
    this.#parts.announcements.start();
  }

  isTaking(): boolean {
    const { value } = this.#machine.getSnapshot();
    return value === "ready" || value === "joining";
  }

  isCordoned(): boolean {
    return this.#machine.getSnapshot().value === "cordoned";
  }

  async cordon(cordoned: boolean): Promise<void> {
    const { announcements, desk, pool } = this.#parts;
    if (this.isCordoned() !== cordoned) {
      this.#machine.send({ type: cordoned ? "cordon" : "uncordon", reason: "an operator asked for it" });
      announcements.full();
    }
    if (this.isCordoned()) await desk.leave();
    else pool.refill();
    await this.#ports.keepCordon?.(cordoned);
  }

  dismiss(waitMs: number): void {
    this.#ended ??= this.#drain(waitMs);
    this.#dismissed(waitMs);
  }

  isEnding(): boolean {
    return this.#isEnding;
  }

  describe(): HostDescription {
    return this.#describe(this.#parts.functions);
  }

  #describe(functions: Functions): HostDescription {
    const { instances, pool, desk, counters } = this.#parts;
    return describe({
      host: this.#options.host,
      epoch: this.epoch,
      memoryMb: this.#options.memoryMb,
      cores: this.#options.cores,
      draining: !this.isTaking(),
      cordoned: this.isCordoned(),
      now: this.#ports.clock.now(),
      isolation: this.#ports.sandbox.isolation,
      instances,
      pool,
      code: this.#ports.code,
      desk,
      functions,
      counters,
    });
  }

  held(): Readonly<Record<string, number>> {
    const { runner, slots, handedRoom, unfinished, bodies } = this.#parts;
    return {
      running: runner.busy.size,
      queuedBytes: slots.bytes.used,
      handed: handedRoom.size,
      handedBytes: handedRoom.bytes,
      bodyBytes: bodies.bytes.coming,
      resultBytes: bodies.bytes.going,
      work: unfinished.count,
    };
  }

  inspect(): Inspection {
    const counters = this.#parts.counters.toRecord();
    return { epoch: this.epoch, actors: this.#transitions.views(), counters, held: this.held(), waits: [] };
  }

  metrics(): Record<string, Series[]> {
    const { functions, slots } = this.#parts;
    return hostMetrics({
      // Its functions are told in another form.
      described: this.#describe(new Functions()),
      functions: functions.all(),
      slots: slots.all(),
      held: this.held(),
    });
  }

  drain(waitMs = LIMITS.drain.value): Promise<void> {
    this.#ended ??= this.#drain(waitMs);
    return this.#ended;
  }

  close(): Promise<void> {
    if (this.#machine.getSnapshot().value === "gone") return Promise.resolve();
    this.#machine.send({ type: "drain", reason: "it was closed at once" });
    this.#parts.unfinished.giveUp();
    this.#ended = this.#end();
    return this.#ended;
  }

  async #drain(waitMs: number): Promise<void> {
    const { clock, log } = this.#ports;
    const { announcements, desk, pool, unfinished } = this.#parts;
    this.#machine.send({ type: "drain", reason: "an orderly stop was asked for" });
    pool.close();
    announcements.full();
    const announced = new Promise<void>((resolve) => void clock.after(LIMITS.drainAnnounced.value, resolve));
    await desk.leave();
    await Promise.all([announced, unfinished.none(waitMs)]);
    const left = unfinished.count;
    if (left > 0) log.warn("the host stops with calls unfinished", { calls: left });
    await this.#end();
  }

  async #end(): Promise<void> {
    const { announcements, desk, handed, instances, logs, pool, records, reports, requests, runner, slots } = this.#parts;
    this.#isEnding = true;
    this.#tick.cancel();
    pool.close();
    await desk.leave();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.stop()));
    await instances.close();
    const fault = new Fault("InstanceLost", "the host stopped before the call could run");
    for (const slot of slots.all()) for (const call of slot.takeOut(() => true)) runner.fail(call, fault);
    runner.close();
    reports.flush();
    reports.close();
    records.flush();
    logs.flush();
    announcements.full();
    announcements.close();
    await requests.close();
    await handed.close();
    this.#machine.send({ type: "closed" });
  }
}
