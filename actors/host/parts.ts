/**
 * The parts of a host, joined together: each says in its ports what it needs, and here is who gives it. Nothing is decided
 * here. A part may name one that is made after it, since none calls another before all are made.
 */
import { RUNTIME_NAMES } from "../../protocol/runtimes.ts";
import type { Transitions } from "../kit/transitions.ts";
import { Announcements } from "./announcements.ts";
import type { Call } from "./call.ts";
import { CallStamp } from "./call-stamp.ts";
import { Counters } from "./counters.ts";
import { CreateTimes } from "./create-times.ts";
import { Desk } from "./desk.ts";
import { Functions } from "./functions.ts";
import { Gap } from "./gap.ts";
import { HandOnTime } from "./hand-on-time.ts";
import { HandedCalls } from "./handed.ts";
import { HandedRoom } from "./handed-room.ts";
import { Instances } from "./instances.ts";
import { LargeBodies } from "./large-bodies.ts";
import { Loader } from "./loader.ts";
import { Logs } from "./logs.ts";
import { Losses } from "./losses.ts";
import { runNear } from "./near.ts";
import { NestedCalls } from "./nested-calls.ts";
import { Pool } from "./pool.ts";
import type { HostOptions, HostPorts } from "./ports.ts";
import { Records } from "./records.ts";
import { Replies } from "./replies.ts";
import { Reports } from "./reports.ts";
import { Requests } from "./requests.ts";
import { Runner } from "./runner.ts";
import { Slots } from "./slots.ts";
import { Supply } from "./supply.ts";
import { Unfinished } from "./unfinished.ts";
import { endUnspoken, orphansOf } from "./unspoken.ts";
import { Versions } from "./versions.ts";

/** MB of an instance when nobody says otherwise. */
const INSTANCE_MB = 1_024;

/** What the parts ask of the host's own life. */
export interface Life {
  readonly epoch: string;
  /** True: orders, grants and provisions are taken. */
  isTaking(): boolean;
  /** True: it takes nothing new until it is told otherwise, and goes on with what it has. */
  isCordoned(): boolean;
  /** Resolves when the desk is left, where it is to be left, and what was chosen is kept for the next start. */
  cordon(cordoned: boolean): Promise<void>;
  /** Begins its orderly stop for good, in which running calls have so long. Legal again; the first time counts. */
  dismiss(waitMs: number): void;
  /** True: everything is being ended. */
  isEnding(): boolean;
}

export class Parts {
  readonly counters = new Counters();
  readonly functions = new Functions();
  readonly stamp: CallStamp;
  readonly replies: Replies;
  readonly versions: Versions;
  readonly gap: Gap;
  readonly slots: Slots;
  readonly records: Records;
  readonly logs: Logs;
  readonly bodies: LargeBodies;
  readonly requests: Requests;
  readonly handOn = new HandOnTime();
  readonly handedRoom: HandedRoom;
  readonly handed: HandedCalls;
  readonly nested: NestedCalls;
  readonly instances: Instances;
  readonly supply: Supply;
  readonly pool: Pool;
  readonly announcements: Announcements;
  readonly reports: Reports;
  readonly runner: Runner;
  readonly desk: Desk;
  readonly losses: Losses;
  readonly unfinished: Unfinished;

  constructor(ports: HostPorts, options: HostOptions, life: Life, transitions: Transitions) {
    const { bus, control, clock, random, log, sandbox } = ports;
    const { host, memoryMb, cores } = options;
    const { epoch } = life;
    const { counters, functions } = this;
    const times = new CreateTimes();
    this.stamp = new CallStamp(random.id(8));
    this.replies = new Replies(bus, host, counters, () => this.announcements.isLost());
    const { replies } = this;
    this.versions = new Versions((account, name, version) => ports.versions(account, name, version));
    this.gap = new Gap(clock.now(), bus);
    this.slots = new Slots(functions);
    const { slots } = this;
    this.records = new Records({ host, control, clock, counters });
    this.logs = new Logs({ host, control, clock, counters });
    this.bodies = new LargeBodies({ clock, store: ports.bodies, counters, isLost: () => this.announcements.isLost() });
    const { bodies } = this;
    this.requests = new Requests({
      bodies,
      host,
      epoch,
      bus,
      counters,
      data: ports.data,
      place: (call) => this.nested.place(call),
      notKnown: (number) => this.nested.notKnown(number),
      violated: (container, what) => this.instances.violated(container, what),
    });
    this.handedRoom = new HandedRoom(random, counters);
    const { handedRoom: room } = this;
    this.handed = new HandedCalls({
      host,
      epoch,
      bus,
      control,
      clock,
      log,
      room,
      replies,
      counters,
      handOn: this.handOn,
      awaits: (reply) => this.requests.awaits(reply),
      undelivered: (reply, fault) => this.requests.failed(reply, fault),
      cameBack: (back, message) => this.nested.cameBack(back, message),
      schedulersChanged: (lost) => {
        if (lost !== undefined) for (const call of orphansOf(lost, host, slots)) this.reports.long(call);
        this.announcements.full();
        this.reports.retell();
      },
    });
    this.nested = new NestedCalls({
      host,
      bus,
      clock,
      counters,
      room,
      handed: this.handed,
      runHere: (head, number, body, reply) =>
        runNear(
          { host, epoch, clock, stamp: this.stamp, slots, runner: this.runner, isTaking: () => life.isTaking() },
          head,
          number,
          body,
          reply,
        ),
      failed: (reply, fault) => this.requests.failed(reply, fault),
    });
    this.instances = new Instances(
      {
        clock,
        random,
        log,
        sandbox,
        loader: new Loader(ports.code),
        counters,
        times,
        transitions,
        memoryMb,
        sparesPerInstance: options.sparesPerInstance ?? 1,
      },
      options.runtimes ?? Object.fromEntries(RUNTIME_NAMES.map((name) => [name, name])),
      {
        changed: (instance) => this.announcements.changed(instance),
        gone: (instance) => this.announcements.gone(instance),
        ready: (container) => this.runner.free(container),
        unmade: (provision, fault, stack) => this.losses.unmade(provision, fault, stack),
        lost: (container, slot, fault) => this.losses.lost(container, slot, fault),
        warmLeft: () => this.pool.refill(),
        result: (container, payload) => this.runner.result(container, payload),
        failed: (container, isBadResult, thrown) => this.runner.failed(container, isBadResult, thrown),
        givenBack: (container, number) => this.runner.givenBack(container, number),
        output: (container, frame) => this.logs.output(container, frame),
        request: (container, frame) => this.requests.request(container, frame),
        late: () => counters.add("frames.late"),
      },
    );
    const { instances } = this;
    this.supply = new Supply({ counters, clock, instances, times, instanceMb: options.instanceMb ?? INSTANCE_MB });
    const { supply } = this;
    this.pool = new Pool(instances, options.pools);
    this.announcements = new Announcements({
      host,
      epoch,
      memoryMb,
      cores,
      network: sandbox.isolation.network !== "none",
      control,
      clock,
      instances,
      functions,
      slots,
      times,
      isDraining: () => !life.isTaking(),
      isCordoned: () => life.isCordoned(),
      lost: (ms) => {
        counters.add("clock.lost");
        log.error("the host was silent until others declared it lost; it ends", { ms: Math.round(ms) });
        for (const call of this.reports.unsent) call.toldLong = false;
        endUnspoken(slots, replies);
        ports.lost?.();
      },
    });
    this.reports = new Reports({
      host,
      epoch,
      control,
      clock,
      keeperOf: ({ slot }) => this.handed.keeperOf(slot.account, slot.function),
      announce: () => this.announcements.flush(),
      ownsAnswers: () => replies.hasLate,
      isLost: () => this.announcements.isLost(),
      dropped: (count) => count > 0 && counters.add("reports.dropped", count),
    });
    this.runner = new Runner({
      clock,
      log,
      replies,
      bodies,
      counters,
      mapStack: (digest, stack) => ports.mapStack(digest, stack),
      isOpen: () => !life.isEnding(),
      isLost: () => this.announcements.isLost(),
      digestOf: (slot) => slot.code?.digest,
      changed: (instance) => this.announcements.changed(instance),
      done: (call) => this.#done(call),
      long: (call) => this.reports.long(call),
      left: (container) => this.requests.left(container),
      discard: (container) => instances.discard(container),
    });
    const { runner, handed, nested } = this;
    this.losses = new Losses({ counters, slots, supply, runner, isEnding: () => life.isEnding() });
    this.unfinished = new Unfinished({ clock, runner, slots, handed, nested });
    this.desk = new Desk({
      clock,
      bus,
      stamp: this.stamp,
      slots,
      supply,
      runner,
      replies,
      counters,
      handOn: this.handOn,
      handed,
      left: (call) => this.reports.left(call),
      announce: () => this.announcements.hurry(),
      answersDirectly: options.answersDirectly ?? true,
      isTaking: () => life.isTaking(),
      isPilingUp: (now) => this.isPilingUp(now),
    });
  }

  /** True while what arrives is not to be run: it had piled up, or this host is declared lost and ends. */
  isPilingUp(now: number): boolean {
    return this.gap.isPilingUp(now) || this.announcements.isLost();
  }

  #done(call: Call): void {
    this.reports.done(call);
    this.records.ended(call);
    // It has run, and its body is for one call.
    if (call.claim !== undefined && call.startedAt > 0) this.bodies.drop(call.slot.account, call.claim);
    this.unfinished.look();
  }
}
