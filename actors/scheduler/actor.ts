/**
 * The scheduler: keeper of its functions' waiting rooms, manager of a class where it leads, and one of those that answer operators.
 * It keeps nothing that a crash could lose for good: hosts announce what is, frontends hold what waits.
 */
import type { Actor } from "xstate";
import { LIMITS } from "../../protocol/limits.ts";
import { callReport } from "../../protocol/messages/call.ts";
import { type HostAnnouncement, hostAnnouncement, hostLost, nodeAnnouncement } from "../../protocol/messages/host.ts";
import { syncNode } from "../../protocol/messages/sync.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { CallRecord, FunctionClass } from "../../protocol/vocabulary.ts";
import { Absence } from "../kit/absence.ts";
import type { Bus } from "../kit/bus.ts";
import type { Inspected } from "../kit/inspection.ts";
import { Members, sayGone } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import { startActor } from "../kit/start-actor.ts";
import { Strangers } from "../kit/strangers.ts";
import { Transitions } from "../kit/transitions.ts";
import { Classes } from "./classes.ts";
import { Fleet } from "./fleet.ts";
import { serveFleet } from "./fleet-service.ts";
import { Grants } from "./grants.ts";
import { Tenure } from "./keeper/tenure.ts";
import { Keeper } from "./keeper.ts";
import { LostHosts } from "./lost-hosts.ts";
import { schedulerMachine } from "./machine.ts";
import { Leadership } from "./manager/leadership.ts";
import type { Lease } from "./manager/lease.ts";
import { schedulerMetrics } from "./metrics.ts";
import { preload } from "./preload.ts";

export interface SchedulerPorts {
  /** Connection for calls, and the one for control. */
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly lease: Lease;
  findInLog(id: string, receivedAt: number): Promise<CallRecord | undefined>;
}

export interface SchedulerOptions {
  readonly node: string;
  /** Size of an instance that has to be booted, in MB. */
  readonly instanceMb: number;
}

export interface Scheduler extends Inspected {
  /** Whom a change of the registry has to reach. */
  live(): { frontends: string[]; schedulers: string[]; hosts: string[] };
  drain(waitMs?: number): Promise<void>;
  /** What it holds of calls now; at rest all are 0. */
  held(): Readonly<Record<string, number>>;
  /** The first waiting call of each function, for how long and why. */
  waits(): ReturnType<Keeper["waits"]>;
  counters(): Readonly<Record<string, number>>;
  readonly lifecycle: Actor<typeof schedulerMachine>;
}

const SWEEP_MS = 50;
const GRANTS_MS = 100;

export function startScheduler(ports: SchedulerPorts, options: SchedulerOptions): Scheduler {
  const { bus, control, clock, random, log, registry } = ports;
  const { node, instanceMb } = options;
  const epoch = random.id(8);
  const counters: Record<string, number> = {};
  const count = (name: string) => {
    counters[name] = (counters[name] ?? 0) + 1;
  };
  const transitions = new Transitions(clock);
  const failed = (error: unknown) => log.error("the lifecycle failed", { error: String(error) });
  const lifecycle = startActor(schedulerMachine, undefined, failed, transitions.watch("scheduler"));

  const fleet = new Fleet();
  const lostHosts = new LostHosts();
  const classes = new Classes();
  const hosts = new Members(control, clock, (member) => {
    sayGone(log, "host", member);
    lostHosts.add(member, clock.now());
    fleet.lost(member.id);
    classes.hostLost(member.id, member.epoch);
    grants.hostLost(member.id);
    keeper.hostLost(member);
  });
  const frontends = new Members(control, clock, (member) => {
    sayGone(log, "frontend", member);
    tenure.forget(member.id);
  });
  /** When another scheduler may last have given grants that is gone since. This one's own earlier life is another. */
  let othersAt = clock.now();
  const absence = new Absence(clock, [control]);
  const schedulers = new Members(control, clock, (member) => {
    sayGone(log, "scheduler", member);
    othersAt = clock.now();
    leads.delete(member.id);
    tenure.forget(member.id);
    if (tenure.look()) keeper.handOver();
  });
  const strangers = new Strangers(log);
  const gateways = new Members(control, clock, (member) => sayGone(log, "gateway", member));
  const tenure = new Tenure({ clock, hosts, frontends, schedulers, node, isFleetYoung: () => fleet.isYoung });

  const classOf = (account: string, name: string): FunctionClass =>
    registry.function(account, name)?.settings.class ?? classes.classOf(`${account}.${name}`, clock.now());
  /** What other schedulers said of it. */
  const leads = new Map<string, readonly FunctionClass[]>();

  const keeper = new Keeper({
    bus,
    control,
    clock,
    random,
    log,
    registry,
    fleet,
    hosts,
    node,
    epoch,
    tenure,
    instanceMb,
    ownerEpoch: (id) => frontends.epochOf(id) ?? hosts.epochOf(id),
    classOf,
    granted: (functionKey) => grants.granted(functionKey),
    count,
  });
  const grants = new Grants({
    control,
    clock,
    log,
    registry,
    fleet,
    classes,
    frontends: () => frontends.ids(true).length,
    leaderEpoch: () => leadership.epoch,
    fenced: (by) => leadership.fenced(by),
    keeperOf: (functionKey) => tenure.keeperOf(functionKey),
    sinceOthers() {
      // While it was away another may have come and gone.
      if (absence.hasEnded()) othersAt = clock.now();
      return clock.now() - othersAt;
    },
    async untilHeard() {
      while (!tenure.knowsFleet()) await new Promise<void>((resolve) => void clock.after(LIMITS.announceEvery.value, resolve));
    },
  });

  const subscriptions = [
    control.hear(hostAnnouncement, ["*"], (announcement) => {
      if (lostHosts.has(announcement.host, announcement.epoch)) {
        control.tell(hostLost, [announcement.host], { epoch: announcement.epoch });
        return;
      }
      strangers.heard(announcement.host, announcement.epoch, announcement.protocol);
      const { host: id, epoch: life, draining, cordoned } = announcement;
      hosts.heard({ id, epoch: life, draining, cordoned });
      fleet.announced(announcement);
      if (classes.announced(announcement, clock.now()).length > 0) grants.renew();
      keeper.drawSoon(idleKeys(announcement));
    }),
    control.hear(nodeAnnouncement, ["frontend", "*"], (member) => {
      strangers.heard(member.node, member.epoch, member.protocol);
      // A newcomer is told at once whom it may ask.
      if (frontends.heard({ id: member.node, epoch: member.epoch, draining: member.draining })) announce();
      tenure.told(member.node, member);
    }),
    control.hear(nodeAnnouncement, ["scheduler", "*"], (member) => {
      strangers.heard(member.node, member.epoch, member.protocol);
      const isNew = schedulers.heard({ id: member.node, epoch: member.epoch, draining: member.draining });
      // So is one that may keep functions that were kept here. Two that were given one name by mistake would answer each other for ever.
      if (isNew && member.node !== node) announce();
      leadership.heard(member);
      if (member.node !== node) {
        leads.set(member.node, member.leads ?? []);
        tenure.told(member.node, member);
      }
      if (tenure.look()) keeper.handOver();
    }),
    control.hear(nodeAnnouncement, ["gateway", "*"], ({ node: id, epoch: life, draining, protocol }) => {
      strangers.heard(id, life, protocol);
      gateways.heard({ id, epoch: life, draining });
    }),
    control.hear(callReport, [node], (report) => {
      keeper.taken(report.placedTaken, report.from, report.epoch);
      keeper.done(report.placedDone);
      if (report.long !== undefined || report.longEnded !== undefined)
        keeper.longCalls(report.from, report.long ?? [], report.longEnded ?? []);
    }),
    bus.listen(SUBJECT.backAll(node), {}, (message) => keeper.cameBack(message)),
    control.serve(syncNode, [node], async (change) => {
      registry.sync(change);
      if (change.function !== undefined) {
        const [account = "", name = ""] = change.function.key.split(".");
        await grants.recall(account, name, change.function.revision);
      }
      if (change.account !== undefined) await grants.recallOf(change.account.key);
      return {};
    }),
    bus.listen(SUBJECT.keeper(node), {}, (message) => keeper.arrived(message)),
    serveFleet({
      control,
      node,
      hosts,
      frontends,
      schedulers,
      gateways,
      leads: (id) => (id === node ? led() : (leads.get(id) ?? [])),
      lost: () => lostHosts.lately(clock.now()),
      waiting: () => keeper.waiting(),
      classes: () => Object.fromEntries(classes.busy(clock.now()).map((key) => [key, "busy" as const])),
      cancelWaiting: (named) => keeper.cancel(named),
      findInLog: (id, receivedAt) => ports.findInLog(id, receivedAt),
      preload: (wanted) => preload({ control, clock, registry, fleet, tenure, instanceMb }, wanted),
      keeperOf: (functionKey) => tenure.keeperOf(functionKey),
    }),
  ];
  const led = (): FunctionClass[] => (leadership.epoch === undefined ? [] : ["busy"]);
  const announce = () =>
    control.tell(nodeAnnouncement, ["scheduler", node], {
      node,
      epoch,
      draining: !lifecycle.getSnapshot().matches("keeping"),
      hosts: hosts.size,
      schedulers: schedulers.size,
      leads: led(),
      protocol: PROTOCOL,
    });
  const timers = [
    clock.every(LIMITS.nodeHeartbeat.value, announce),
    clock.every(SWEEP_MS, () => keeper.sweep()),
    clock.every(GRANTS_MS, () => {
      if (absence.hasEnded()) othersAt = clock.now();
      grants.renew();
    }),
    clock.every(BUSY_SWEEP_MS, () => classes.sweep(clock.now())),
  ];
  // It hears its own announcements only when the broker sends them back; it is alive from now on.
  schedulers.heard({ id: node, epoch, draining: false });
  tenure.look();
  lifecycle.send({ type: "loaded" });
  const leadership = new Leadership({
    control,
    clock,
    log,
    lease: ports.lease,
    class: "busy",
    node,
    life: epoch,
    watch: transitions.watch("manager/busy"),
    changed(isLeading, from) {
      if (isLeading && from !== undefined) othersAt = clock.now();
      if (isLeading) grants.began();
      // Who waits for the lease, and operators, hear of it now.
      announce();
    },
  });
  announce();

  const held = () => ({ ...keeper.held(), orders: fleet.outstanding });

  return {
    lifecycle,
    live: () => ({ frontends: frontends.ids(), schedulers: schedulers.ids(), hosts: hosts.ids() }),
    held,
    waits: () => keeper.waits(),
    counters: () => counters,
    inspect: () => ({ epoch, actors: transitions.views(), counters, held: held(), waits: keeper.waits() }),
    metrics: () =>
      schedulerMetrics({
        counters,
        held: held(),
        waiting: keeper.waiting(),
        known: { host: hosts.size, frontend: frontends.size, scheduler: schedulers.size, gateway: gateways.size },
        busyFunctions: classes.busy(clock.now()).length,
        isDraining: !lifecycle.getSnapshot().matches("keeping"),
      }),
    async drain(waitMs = LIMITS.drain.value) {
      lifecycle.send({ type: "drain", reason: "an orderly stop was asked for" });
      announce();
      const released = leadership.drain();
      const until = clock.now() + waitMs;
      while (Object.keys(keeper.waiting()).length > 0 && clock.now() < until)
        await new Promise<void>((resolve) => void clock.after(20, resolve));
      await released;
      lifecycle.send({ type: "rooms.empty" });
      for (const timer of timers) timer.cancel();
      for (const members of [hosts, frontends, schedulers, gateways]) members.stop();
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
    },
  };
}

const BUSY_SWEEP_MS = 60_000;

/** Slot keys with an idle container in what was announced. */
function* idleKeys({ instances }: HostAnnouncement): Iterable<string> {
  for (const { slots } of instances) for (const slot of slots) if (slot.idle > 0) yield slot.key;
}
