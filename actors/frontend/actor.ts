/**
 * The frontend: answers public call subjects that no host answers directly. It judges what the caller sent,
 * decides version and amounts, and hands the call to a host with an idle container or to the function's keeper.
 *
 * F1  Only a reply subject under `_INBOX.` or `_R_.` of bounded length is ever answered (law 9).
 * F2  Nothing touches capacity before the name, the headers and the account have passed.
 */
import type { Actor } from "xstate";
import { tooLargeFor } from "../../protocol/bodies.ts";
import { callIds } from "../../protocol/call-id.ts";
import { encode, splitHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { askedCall, callReport, handedCall } from "../../protocol/messages/call.ts";
import { hostAnnouncement, nodeAnnouncement } from "../../protocol/messages/host.ts";
import { syncNode } from "../../protocol/messages/sync.ts";
import { limitCounter } from "../../protocol/metrics.ts";
import { slotKey } from "../../protocol/names.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { DESK, FRONTENDS, isAnswerable, parseBackSubject, parseCallSubject, SUBJECT } from "../../protocol/subjects.ts";
import { PROTOCOL, SINCE } from "../../protocol/version.ts";
import type { FunctionRecord } from "../../protocol/vocabulary.ts";
import { Absence } from "../kit/absence.ts";
import { resolveAlias } from "../kit/alias.ts";
import type { PartStore } from "../kit/body-store.ts";
import type { Bus, Message, Subscription } from "../kit/bus.ts";
import { failureBody, failureHeaders } from "../kit/failure.ts";
import type { Inspected } from "../kit/inspection.ts";
import { Members, sayGone } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import { startActor } from "../kit/start-actor.ts";
import { Transitions } from "../kit/transitions.ts";
import { BodyParts } from "./bodies.ts";
import { FrontendCalls } from "./calls.ts";
import { serveCancels } from "./cancel.ts";
import { type CallOptions, readCallHeaders } from "./headers.ts";
import { HotIndex } from "./hot.ts";
import { readInline } from "./inline.ts";
import { frontendMachine } from "./machine.ts";
import { frontendMetrics } from "./metrics.ts";
import { resolveCall, resolveInline } from "./resolve.ts";

export interface FrontendPorts {
  /** Connection for calls, and the one for control. */
  readonly bus: Bus;
  readonly control: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  /** Bundles source and stores it for a while; gives its digest. Rejects with Fault BadCode. */
  readonly inlineCode: (source: string, runtime: RuntimeName, handler: string) => Promise<string>;
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

/** What is to be known of a call to say what it is. */
interface Question {
  readonly account: string;
  readonly name: string;
  readonly qualifier: string | undefined;
  readonly options: CallOptions;
  readonly receivedAt: number;
  readonly waitedMs: number;
  readonly chain: string[] | undefined;
}

interface Request extends Question {
  readonly body: Uint8Array;
  readonly reply: string;
}

const SWEEP_MS = 250;

export function startFrontend(ports: FrontendPorts, node: string): Frontend {
  const { bus, control, clock, random, log, registry } = ports;
  const epoch = random.id(8);
  const newCallId = callIds(epoch);
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

  /** Calls of which something is still being read or bundled. */
  let preparing = 0;
  const prepared = async (work: Promise<void>, reply: string): Promise<void> => {
    preparing++;
    try {
      await work;
    } catch (thrown) {
      fail(reply, thrown);
    } finally {
      preparing--;
    }
  };

  const fail = (reply: string, thrown: unknown) => {
    const fault = Fault.from(thrown);
    count(`failed.${fault.name}`);
    const limit = limitCounter(fault);
    if (limit !== undefined) count(limit);
    if (fault.name === "Internal") log.error("a call failed inside", { error: fault.stack, cause: String(fault.cause ?? "") });
    bus.send(reply, failureBody(fault), undefined, failureHeaders(fault));
  };

  const resolve = (record: FunctionRecord, request: Question) => ({
    ...resolveCall(
      record,
      registry.account(request.account),
      resolveAlias(record, request.qualifier, random),
      request.options,
      request.waitedMs,
    ),
    call: newCallId(request.receivedAt),
    receivedAt: request.receivedAt,
    attempt: 1,
    ...(request.chain && { chain: request.chain }),
    ...(request.options.bodyRef && { bodyRef: request.options.bodyRef }),
  });

  const place = (record: FunctionRecord, request: Request) => {
    const head = resolve(record, request);
    const key = slotKey(head.account, head.function, head.version, head.memoryMb);
    // A demand on the runtime is the keeper's to judge.
    const mayQueue = record.settings.class !== "rare";
    const to = head.runtimeWanted === undefined ? hot.borrow(key, mayQueue, head.containers) : undefined;
    calls.place(head, request.body, request.reply, to);
  };

  /** A release before large bodies would run such a call with an empty body. */
  const largeBodiesMayGo = () => {
    const old = [...schedulers.before(SINCE.largeBodies), ...hosts.before(SINCE.largeBodies)];
    if (old.length > 0)
      throw new Fault(
        "Unavailable",
        `large bodies go only when every scheduler and host is of a release that knows them: not so ${old.join(", ")}`,
      );
  };

  const admit = (request: Request) => {
    if (request.body.length > BODY_LIMIT) throw new Fault("PayloadTooLarge", tooLargeFor(request.body.length), { limit: "brokerPayload" });
    if (request.options.bodyRef !== undefined && request.body.length > 0)
      throw new Fault("BadRequest", "a call with a Pilot-Body header has no body of its own");
    if (request.options.bodyRef !== undefined) largeBodiesMayGo();
    find(request, request.reply, (record) => place(record, request));
  };

  /** Gives the function of a request to `found`, at once where it is known; whatever goes wrong later is told to `reply`. Throws. */
  const find = ({ account, name }: Question, reply: string, found: (record: FunctionRecord) => void) => {
    if (absence.hasEnded()) registry.doubt();
    const known = registry.function(account, name);
    if (known !== undefined) return found(known);
    const read = async () => {
      const record = await registry.readThrough(account, name);
      if (record === undefined) throw new Fault("FunctionNotFound", `there is no function ${name} in account ${account}`);
      found(record);
    };
    void prepared(read(), reply);
  };

  /** The caller's reply subject, or undefined when there is none that may be answered. */
  const answerable = (message: Message): string | undefined => {
    if (isAnswerable(message.reply, LIMITS.replySubject.value)) return message.reply;
    count(message.reply === "" ? "dropped.noReply" : "dropped.badReply");
    return undefined;
  };

  const onCall = (message: Message) => {
    const receivedAt = clock.epoch();
    const reply = answerable(message);
    if (reply === undefined) return;
    try {
      const target = parseCallSubject(message.subject);
      if (!target.ok) throw new Fault("BadName", target.reason);
      const options = readCallHeaders(message.hasHeaders ? message.headerNames() : [], (name) => message.header(name));
      admit({ ...target, options, body: message.body, reply, receivedAt, waitedMs: 0, chain: undefined });
    } catch (thrown) {
      fail(reply, thrown);
    }
  };

  /** A call that a host handed on: the host is trusted, what it passes on of the caller is not. */
  const onHanded = (message: Message) => {
    const back = parseBackSubject(message.reply);
    if (back === undefined) return count("dropped.badReply");
    try {
      const { head, body } = splitHead(message.body);
      if (typeof head === "object" && head !== null && "asks" in head) return onAsked(head, message.reply);
      const handed = handedCall.parse(head);
      const options = readCallHeaders(Object.keys(handed.headers), (name) => handed.headers[name]);
      admit({
        account: handed.account,
        name: handed.function,
        qualifier: handed.qualifier,
        options,
        body,
        reply: back.reply,
        receivedAt: handed.receivedAt,
        waitedMs: handed.waitedMs,
        chain: handed.chain,
      });
    } catch (thrown) {
      fail(back.reply, thrown);
    }
  };

  /** A host asks what a call is, and places it itself: nothing is held here. */
  const onAsked = (head: unknown, back: string) => {
    try {
      const asked = askedCall.parse(head);
      const options = readCallHeaders(Object.keys(asked.headers), (name) => asked.headers[name]);
      if (options.bodyRef !== undefined) largeBodiesMayGo();
      const { account, qualifier, receivedAt } = asked;
      const question: Question = { account, name: asked.function, qualifier, options, receivedAt, waitedMs: 0, chain: undefined };
      find(question, back, (record) => bus.send(back, encode({ resolved: resolve(record, question) })));
    } catch (thrown) {
      fail(back, thrown);
    }
  };

  const partsBus = ports.partsBus ?? bus;
  const parts = new BodyParts({
    bus: partsBus,
    store: ports.bodies,
    account: (name) => registry.account(name),
    answerable,
    fail,
    count,
  });

  const onInline = (message: Message) => {
    const receivedAt = clock.epoch();
    const reply = answerable(message);
    if (reply === undefined) return;
    void prepared(runInline(message, reply, receivedAt), reply);
  };

  const runInline = async (message: Message, reply: string, receivedAt: number) => {
    const { account, request } = readInline(message.subject, message.body);
    const headers = readCallHeaders(message.hasHeaders ? message.headerNames() : [], (name) => message.header(name));
    if (headers.bodyRef !== undefined) throw new Fault("BadHeader", "code in the request takes no Pilot-Body: deploy it, or send less");
    const options: CallOptions = {
      ...headers,
      ...(request.memoryMb !== undefined && { memoryMb: request.memoryMb }),
      ...(request.timeoutMs !== undefined && { timeoutMs: request.timeoutMs }),
    };
    const resolved = resolveInline(account, registry.account(account), options);
    const runtime = request.runtime ?? "node";
    const handler = request.handler ?? "handler";
    const digest = await ports.inlineCode(request.code, runtime, handler);
    const event = new TextEncoder().encode(JSON.stringify(request.event ?? null));
    calls.place(
      {
        ...resolved,
        function: "inline",
        version: 0,
        inline: { digest, runtime, handler },
        call: newCallId(receivedAt),
        receivedAt,
        attempt: 1,
      },
      event,
      reply,
      undefined,
    );
  };

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
  const intake = [
    bus.listen(SUBJECT.fnAll, { queue: DESK }, onCall),
    bus.listen(SUBJECT.inlineAll, { queue: FRONTENDS }, onInline),
    bus.listen(SUBJECT.desk, { queue: FRONTENDS }, onHanded),
    bus.listen(SUBJECT.ownDesk(node), {}, onHanded),
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
      await Promise.all(intake.map((subscription) => subscription.stop()));
      const until = clock.now() + waitMs;
      while (calls.size + parts.size + preparing > 0 && clock.now() < until)
        await new Promise<void>((resolve) => void clock.after(20, resolve));
      lifecycle.send({ type: "calls.ended" });
      for (const timer of timers) timer.cancel();
      hosts.stop();
      schedulers.stop();
      await Promise.all(desk.map((subscription) => subscription.stop()));
    },
  };
}
