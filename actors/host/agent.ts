/**
 * The host agent: joins its parts together and lives the life of machine.ts. All thinking is in the parts; all I/O
 * comes in through the ports.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { hostLost } from "../../protocol/messages/host.ts";
import { RUNTIME_NAMES } from "../../protocol/runtimes.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Subscription } from "../kit/bus.ts";
import { startActor } from "../kit/start-actor.ts";
import { Announcements } from "./announcements.ts";
import type { Call } from "./call.ts";
import { CallStamp } from "./call-stamp.ts";
import type { Container } from "./container.ts";
import { serveControl } from "./control.ts";
import { Counters } from "./counters.ts";
import { CreateTimes } from "./create-times.ts";
import { describe } from "./describe.ts";
import { Desk } from "./desk.ts";
import { Functions } from "./functions.ts";
import { Gap } from "./gap.ts";
import { HandedCalls } from "./handed.ts";
import type { Instance } from "./instance.ts";
import { Instances } from "./instances.ts";
import { Loader } from "./loader.ts";
import { Logs } from "./logs.ts";
import { hostMachine } from "./machine.ts";
import { Orders } from "./orders.ts";
import { Pool } from "./pool.ts";
import type { Host, HostDescription, HostOptions, HostPorts } from "./ports.ts";
import type { Provision } from "./provision.ts";
import { Records } from "./records.ts";
import { Replies } from "./replies.ts";
import { Reports } from "./reports.ts";
import { Requests } from "./requests.ts";
import { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import { Slots } from "./slots.ts";
import { Supply } from "./supply.ts";
import { Versions } from "./versions.ts";

export type { Host, HostOptions, HostPorts } from "./ports.ts";

/** MB of an instance when nobody says otherwise. */
const INSTANCE_MB = 1_024;

/** Starts a host: it fills its warm pool, announces itself and takes calls at once. */
export function startHost(ports: HostPorts, options: HostOptions): Host {
  return new Agent(ports, options);
}

class Agent implements Host {
  readonly #ports: HostPorts;
  readonly #options: HostOptions;
  readonly #epoch: string;
  readonly #machine;
  readonly #counters = new Counters();
  readonly #functions = new Functions();
  readonly #slots: Slots;
  readonly #instances: Instances;
  readonly #supply: Supply;
  readonly #pool: Pool;
  readonly #runner: Runner;
  readonly #reports: Reports;
  readonly #announcements: Announcements;
  readonly #records: Records;
  readonly #logs: Logs;
  readonly #replies: Replies;
  readonly #requests: Requests;
  readonly #handed: HandedCalls;
  readonly #desk: Desk;
  readonly #gap: Gap;
  readonly #subscriptions: Subscription[] = [];
  readonly #tick;
  #emptied: (() => void) | undefined = undefined;
  #ended: Promise<void> | undefined = undefined;
  #isEnding = false;
  #retoldAt = Number.NEGATIVE_INFINITY;

  constructor(ports: HostPorts, options: HostOptions) {
    const { bus, control, clock, random, log, sandbox } = ports;
    const { host, memoryMb, cores } = options;
    this.#ports = ports;
    this.#options = options;
    this.#epoch = random.id(12);
    this.#machine = startActor(hostMachine, undefined as never, (error) => log.error("host machine failed", { error: String(error) }));
    const counters = this.#counters;
    const stamp = new CallStamp(random.id(8));
    const times = new CreateTimes();
    const replies = new Replies(bus, host, counters, () => this.#announcements.isLost());
    this.#replies = replies;
    const versions = new Versions((account, name, version) => ports.versions(account, name, version));
    this.#gap = new Gap(clock.now());
    this.#slots = new Slots(this.#functions);
    this.#records = new Records({ host, control, clock, counters });
    this.#logs = new Logs({ host, control, clock, counters });
    this.#requests = new Requests({
      host,
      epoch: this.#epoch,
      bus,
      clock,
      counters,
      data: ports.data,
      violated: (container, what) => this.#instances.violated(container, what),
    });
    this.#handed = new HandedCalls({
      host,
      epoch: this.#epoch,
      bus,
      control,
      clock,
      random,
      replies,
      counters,
      undelivered: (reply) => this.#requests.undelivered(reply),
      schedulersChanged: () => {
        this.#announcements.full();
        this.#reports.retell();
      },
    });
    this.#instances = new Instances(
      {
        host,
        clock,
        random,
        log,
        sandbox,
        loader: new Loader(ports.code),
        counters,
        times,
        memoryMb,
        sparesPerInstance: options.sparesPerInstance ?? 1,
      },
      options.runtimes ?? Object.fromEntries(RUNTIME_NAMES.map((name) => [name, name])),
      {
        changed: (instance) => this.#announcements.changed(instance),
        gone: (instance) => this.#announcements.gone(instance),
        ready: (container) => this.#runner.free(container),
        unmade: (provision, fault, stack) => this.#unmade(provision, fault, stack),
        lost: (container, slot, fault) => this.#lost(container, slot, fault),
        warmLeft: () => this.#pool.refill(),
        result: (container, payload) => this.#runner.result(container, payload),
        failed: (container, isBadResult, thrown) => this.#runner.failed(container, isBadResult, thrown),
        givenBack: (container, number) => this.#runner.givenBack(container, number),
        output: (container, frame) => this.#logs.output(container, frame),
        request: (container, frame) => this.#requests.request(container, frame),
        late: () => counters.add("frames.late"),
      },
    );
    this.#supply = new Supply({
      counters: this.#counters,
      clock,
      instances: this.#instances,
      times,
      instanceMb: options.instanceMb ?? INSTANCE_MB,
    });
    this.#pool = new Pool(this.#instances, options.pools);
    this.#announcements = new Announcements({
      host,
      epoch: this.#epoch,
      memoryMb,
      cores,
      network: ports.sandbox.isolation.network !== "none",
      control,
      clock,
      instances: this.#instances,
      functions: this.#functions,
      slots: this.#slots,
      times,
      isDraining: () => !this.#isTaking(),
      lost: (ms) => {
        counters.add("clock.lost");
        log.error("the host was silent until others declared it lost; it ends", { ms: Math.round(ms) });
        ports.lost?.();
      },
    });
    this.#reports = new Reports({
      host,
      epoch: this.#epoch,
      control,
      clock,
      keeperOf: ({ slot }) => this.#handed.keeperOf(slot.account, slot.function),
      announce: () => this.#announcements.flush(),
      ownsAnswers: () => this.#replies.hasLate,
      dropped: (count) => count > 0 && counters.add("reports.dropped", count),
    });
    this.#runner = new Runner({
      clock,
      log,
      replies,
      counters,
      mapStack: (digest, stack) => ports.mapStack(digest, stack),
      isOpen: () => !this.#isEnding,
      isLost: () => this.#announcements.isLost(),
      digestOf: (slot) => slot.code?.digest,
      changed: (instance) => this.#announcements.changed(instance),
      done: (call) => this.#done(call),
      long: (call) => this.#reports.long(call),
      left: (container) => this.#requests.left(container),
      discard: (container) => this.#instances.discard(container),
    });
    const isTaking = (): boolean => this.#isTaking();
    const isPilingUp = (now: number): boolean => this.#gap.isPilingUp(now);
    this.#desk = new Desk({
      clock,
      bus,
      stamp,
      slots: this.#slots,
      supply: this.#supply,
      runner: this.#runner,
      replies,
      counters,
      handed: this.#handed,
      left: (call) => this.#reports.left(call),
      announce: () => this.#announcements.hurry(),
      answersDirectly: options.answersDirectly ?? true,
      isTaking,
      isPilingUp,
    });
    const orders = new Orders({
      clock,
      stamp,
      slots: this.#slots,
      supply: this.#supply,
      versions,
      runner: this.#runner,
      replies,
      counters,
      isTaking,
      isPilingUp,
      taken: (call) => this.#reports.taken(call),
      refused: () => this.#announcements.flush(),
    });
    this.#subscriptions.push(bus.listen(SUBJECT.host(host), {}, (message) => orders.arrived(message)));
    this.#subscriptions.push(
      control.hear(hostLost, [host], (said) => {
        if (said.epoch === this.#epoch) this.#announcements.declaredLost();
      }),
    );
    this.#subscriptions.push(
      ...serveControl({
        host,
        control,
        desk: this.#desk,
        slots: this.#slots,
        supply: this.#supply,
        instances: this.#instances,
        versions,
        runner: this.#runner,
        records: this.#records,
        pool: this.#pool,
        announce: () => this.#announcements.flush(),
        isTaking,
        describe: () => this.describe(),
      }),
    );
    sandbox.onSpawnerLost(() => {
      counters.add("spawner.lost");
      log.error("the spawner died and was replaced", { host });
      this.#pool.refill();
    });
    this.#tick = clock.every(LIMITS.hostTick.value, () => this.#look());
    this.#pool.refill();
    this.#machine.send({ type: "joined" });
    this.#announcements.start();
  }

  describe(): HostDescription {
    return describe({
      host: this.#options.host,
      epoch: this.#epoch,
      memoryMb: this.#options.memoryMb,
      cores: this.#options.cores,
      draining: !this.#isTaking(),
      now: this.#ports.clock.now(),
      isolation: this.#ports.sandbox.isolation,
      instances: this.#instances,
      pool: this.#pool,
      code: this.#ports.code,
      desk: this.#desk,
      functions: this.#functions,
      counters: this.#counters,
    });
  }

  held(): Readonly<Record<string, number>> {
    return {
      running: this.#runner.busy.size,
      queuedBytes: this.#slots.bytes.used,
      handed: this.#handed.size,
      handedBytes: this.#handed.bytes,
      work: this.#work(),
    };
  }

  drain(): Promise<void> {
    this.#ended ??= this.#drain();
    return this.#ended;
  }

  close(): Promise<void> {
    if (this.#machine.getSnapshot().value === "gone") return Promise.resolve();
    this.#machine.send({ type: "drain" });
    this.#emptied?.();
    this.#ended = this.#end();
    return this.#ended;
  }

  async #drain(): Promise<void> {
    const { clock, log } = this.#ports;
    this.#machine.send({ type: "drain" });
    this.#pool.close();
    this.#announcements.full();
    const announced = new Promise<void>((resolve) => void clock.after(LIMITS.drainAnnounced.value, resolve));
    await this.#desk.leave();
    await Promise.all([announced, this.#quiet()]);
    const left = this.#work();
    if (left > 0) log.warn("the host stops with calls unfinished", { calls: left });
    await this.#end();
  }

  /** Resolves when no call runs, waits or is held, or when LIMITS.drain has passed. */
  #quiet(): Promise<void> {
    if (this.#work() === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#ports.clock.after(LIMITS.drain.value, () => this.#emptied?.());
      this.#emptied = () => {
        timer.cancel();
        this.#emptied = undefined;
        resolve();
      };
    });
  }

  #work(): number {
    let queued = 0;
    for (const slot of this.#slots.all()) queued += slot.queued;
    return this.#runner.busy.size + queued + this.#handed.size;
  }

  async #end(): Promise<void> {
    this.#isEnding = true;
    this.#tick.cancel();
    this.#pool.close();
    await this.#desk.leave();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.stop()));
    await this.#instances.close();
    const fault = new Fault("InstanceLost", "the host stopped before the call could run");
    for (const slot of this.#slots.all()) for (const call of slot.takeOut(() => true)) this.#runner.fail(call, fault);
    this.#runner.close();
    this.#reports.flush();
    this.#reports.close();
    this.#records.flush();
    this.#logs.flush();
    this.#announcements.full();
    this.#announcements.close();
    await this.#requests.close();
    await this.#handed.close();
    this.#machine.send({ type: "closed" });
  }

  #isTaking(): boolean {
    const { value } = this.#machine.getSnapshot();
    return value === "ready" || value === "joining";
  }

  #done(call: Call): void {
    this.#reports.done(call);
    this.#records.ended(call);
    if (this.#emptied && this.#work() === 0) this.#emptied();
  }

  /** A container ended: its call hears why, and calls that wait get another. */
  #lost(container: Container, slot: Slot, fault: Fault): void {
    this.#runner.lost(container, fault);
    this.#replace(slot, container.instance, fault);
    this.#slots.release(slot);
  }

  #replace(slot: Slot, near: Instance | undefined, fault: Fault): void {
    const { code } = slot;
    if (code === undefined || slot.queued === 0 || slot.loading >= slot.queued) return;
    const refused = this.#supply.makeAnywhere({ slot, code, class: near?.class ?? "rare" }, near);
    if (refused === undefined || slot.containers > 0) return;
    const unserved = new Fault(
      fault.name === "InstanceLost" ? "InstanceLost" : "Unavailable",
      `no container is left for the call, and no other could be made: ${refused.reason}`,
    );
    for (const call of slot.takeOut(() => true)) this.#runner.fail(call, unserved);
  }

  /** A container could not be made: calls that only it could have served hear why. */
  #unmade(provision: Provision, fault: Fault, stack: string | undefined): void {
    const { slot } = provision;
    this.#counters.add(`unmade.${fault.name}`);
    // Its instance was lost under it, which says nothing about the next one.
    if (fault.name === "InstanceLost" && !this.#isEnding) this.#replace(slot, undefined, fault);
    if (slot.containers === 0) for (const call of slot.takeOut(() => true)) this.#runner.failMapped(call, fault, stack);
    this.#slots.release(slot);
  }

  /** Ends what has waited too long; and makes a container where runs are so much longer than forecast that the first in line is stuck. */
  #lookAtQueue(slot: Slot, now: number): void {
    for (const call of slot.takeOut((waiting) => waiting.waitUntil < now)) this.#runner.expire(call);
    for (const call of slot.waiting()) this.#runner.age(call, now);
    const { first, code } = slot;
    if (first === undefined || code === undefined || slot.loading > 0) return;
    if (now - first.arrivedAt <= Math.max(this.#supply.createMs(slot), LIMITS.hostTick.value)) return;
    // A cap counts containers on all hosts, and only the keeper sees those: it weighs again what came directly.
    if ((first.head?.containers ?? first.grant?.containers ?? 0) < LIMITS.containersPerFunction.value) return this.#desk.handOver(slot);
    if (this.#slots.containersOf(slot.account, slot.function) >= LIMITS.containersPerFunction.value) return;
    const of = first.head?.class ?? first.grant?.class ?? "rare";
    if (this.#supply.makeAnywhere({ slot, code, class: of }, undefined) === undefined) this.#counters.add("queue.overdue");
  }

  /** A few times a second: gaps, expired grants and calls, idle containers. */
  #look(): void {
    const now = this.#ports.clock.now();
    const gap = this.#gap.tick(now);
    if (gap > 0) {
      this.#counters.add("clock.gaps");
      this.#ports.log.warn("the process slept; what piled up is refused", { ms: Math.round(gap) });
    }
    this.#replies.catchUp(now);
    if (now - this.#retoldAt >= LIMITS.longCallsEvery.value) {
      this.#retoldAt = now;
      this.#reports.retell();
    }
    this.#desk.sweep(now);
    this.#handed.sweep();
    for (const slot of [...this.#slots.all()]) {
      if (slot.queued > 0) this.#lookAtQueue(slot, now);
      for (let first = slot.idle[0]; first !== undefined && now - first.idleSince >= slot.keepAliveMs; first = slot.idle[0]) {
        this.#counters.add("containers.reclaimed");
        this.#instances.discard(first);
      }
      this.#slots.release(slot);
    }
    this.#pool.refill();
    if (this.#emptied && this.#work() === 0) this.#emptied();
  }
}
