/**
 * The frontend: answers public call subjects that no host answers directly. What comes is judged (intake.ts), and handed to a host with an
 * idle container or to the function's keeper (calls.ts).
 */
import type { Actor } from "xstate";
import { LIMITS } from "../../protocol/limits.ts";
import { callReport } from "../../protocol/messages/call.ts";
import { hostAnnouncement, nodeAnnouncement } from "../../protocol/messages/host.ts";
import { syncNode } from "../../protocol/messages/sync.ts";
import { DESK, FRONTENDS, SUBJECT } from "../../protocol/subjects.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import { Absence } from "../kit/absence.ts";
import type { PartStore } from "../kit/body-store.ts";
import type { Bus, Subscription } from "../kit/bus.ts";
import type { Inspected } from "../kit/inspection.ts";
import { Members, sayGone } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import { startActor } from "../kit/start-actor.ts";
import { Transitions } from "../kit/transitions.ts";
import { BodyParts } from "./bodies.ts";
import { FrontendCalls } from "./calls.ts";
import { serveCancels } from "./cancel.ts";
import { HotIndex } from "./hot.ts";
import { type IntakePorts, openIntake } from "./intake.ts";
import { frontendMachine } from "./machine.ts";
import { frontendMetrics } from "./metrics.ts";

export interface FrontendPorts {
  /** Connection for calls, and the one for control. */
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly inlineCode: IntakePorts["inlineCode"];
  /** Parts of large bodies. */
  readonly bodies: PartStore;
  /** The connection on which parts come, so that none stands in front of a call. Default: that of calls. */
  readonly partsBus?: Bus;
}

export interface Frontend extends Inspected {
  /** Leaves the desk, waits for the calls it holds (for `waitMs` at most, by default LIMITS.drain), and ends. */
  drain(waitMs?: number): Promise<void>;
  /** Named counters of what was dropped, refused or retried. */
  counters(): Readonly<Record<string, number>>;
  readonly lifecycle: Actor<typeof frontendMachine>;
}

const SWEEP_MS = 250;

export function startFrontend(ports: FrontendPorts, node: string): Frontend {
  const { bus, control, clock, random, log, registry } = ports;
  const epoch = random.id(8);
  const counters: Record<string, number> = {};
  const count = (name: string) => {
    counters[name] = (counters[name] ?? 0) + 1;
  };
  const transitions = new Transitions(clock);
  const failed = (error: unknown) => log.error("the lifecycle failed", { error: String(error) });
  const lifecycle = startActor(frontendMachine, undefined, failed, transitions.watch("frontend"));

  const absence = new Absence(clock, [bus, control]);
  const hot = new HotIndex();
  const hosts = new Members(control, clock, (member) => {
    sayGone(log, "host", member);
    hot.lost(member.id);
    calls.hostLost(member);
  });
  const schedulers = new Members(control, clock, (member) => {
    sayGone(log, "scheduler", member);
    calls.keeperLost(member);
  });
  const calls = new FrontendCalls({ bus, clock, random, node, epoch, hosts, schedulers, count, log });

  const { inlineCode } = ports;
  const intake = openIntake({ bus, clock, random, log, registry, inlineCode, epoch, absence, hosts, schedulers, hot, calls, count });

  const partsBus = ports.partsBus ?? bus;
  const parts = new BodyParts({
    bus: partsBus,
    store: ports.bodies,
    account: (name) => registry.account(name),
    answerable: intake.answerable,
    fail: intake.fail,
    count,
  });

  const desk: Subscription[] = [
    bus.listen(SUBJECT.backAll(node), {}, (message) => calls.cameBack(message)),
    control.hear(hostAnnouncement, ["*"], (announcement) => {
      const { host: id, epoch: life, draining, cordoned, protocol } = announcement;
      hosts.heard({ id, epoch: life, draining, cordoned, protocol });
      hot.announced(announcement);
    }),
    control.hear(
      nodeAnnouncement,
      ["scheduler", "*"],
      ({ node: id, epoch: life, draining, protocol }) => void schedulers.heard({ id, epoch: life, draining, protocol }),
    ),
    control.hear(callReport, [node], (report) => {
      calls.taken(report.taken, report.from, report.epoch);
      calls.done(report.done);
    }),
    control.serve(syncNode, [node], (change) => {
      registry.sync(change);
      return {};
    }),
  ];
  const sweep = () => {
    if (absence.hasEnded()) registry.doubt();
    calls.sweep();
  };
  const announce = () =>
    control.tell(nodeAnnouncement, ["frontend", node], {
      node,
      epoch,
      draining: !lifecycle.getSnapshot().matches("serving"),
      hosts: hosts.size,
      schedulers: schedulers.size,
      protocol: PROTOCOL,
    });
  const timers = [clock.every(LIMITS.nodeHeartbeat.value, announce), clock.every(SWEEP_MS, sweep)];
  const open = [
    bus.listen(SUBJECT.fnAll, { queue: DESK }, intake.onCall),
    bus.listen(SUBJECT.inlineAll, { queue: FRONTENDS }, intake.onInline),
    bus.listen(SUBJECT.desk, { queue: FRONTENDS }, intake.onHanded),
    bus.listen(SUBJECT.ownDesk(node), {}, intake.onHanded),
    partsBus.listen(SUBJECT.bodyAll, { queue: FRONTENDS }, (message) => parts.arrived(message)),
    serveCancels({ bus, control, clock, isAccount: (name) => registry.account(name) !== undefined, count }),
  ];
  lifecycle.send({ type: "loaded" });
  announce();

  const held = () => ({ calls: calls.size, callBytes: calls.bytes });

  return {
    lifecycle,
    counters: () => ({ ...counters, held: calls.size, heldBytes: calls.bytes, bodyParts: parts.size }),
    inspect: () => ({ epoch, actors: transitions.views(), counters, held: held(), waits: [] }),
    metrics: () =>
      frontendMetrics({
        counters,
        held: held(),
        known: { host: hosts.size, scheduler: schedulers.size },
        isDraining: !lifecycle.getSnapshot().matches("serving"),
      }),
    async drain(waitMs = LIMITS.drain.value) {
      lifecycle.send({ type: "drain", reason: "an orderly stop was asked for" });
      announce();
      await Promise.all(open.map((subscription) => subscription.stop()));
      const until = clock.now() + waitMs;
      while (calls.size + parts.size + intake.preparing > 0 && clock.now() < until)
        await new Promise<void>((resolve) => void clock.after(20, resolve));
      lifecycle.send({ type: "calls.ended" });
      for (const timer of timers) timer.cancel();
      hosts.stop();
      schedulers.stop();
      await Promise.all(desk.map((subscription) => subscription.stop()));
    },
  };
}
