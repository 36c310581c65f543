/**
 * What comes to a frontend, until it is a call that is placed: it judges what the caller sent, and decides version and amounts.
 *
 * F1  Only a reply subject under `_INBOX.` or `_R_.` of bounded length is ever answered (law 9).
 * F2  Nothing touches capacity before the name, the headers and the account have passed.
 */
import { tooLargeFor } from "../../protocol/bodies.ts";
import { callIds } from "../../protocol/call-id.ts";
import { encode, splitHead } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { askedCall, handedCall } from "../../protocol/messages/call.ts";
import { limitCounter } from "../../protocol/metrics.ts";
import { slotKey } from "../../protocol/names.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { isAnswerable, parseBackSubject, parseCallSubject } from "../../protocol/subjects.ts";
import { SINCE } from "../../protocol/version.ts";
import type { FunctionRecord } from "../../protocol/vocabulary.ts";
import type { Absence } from "../kit/absence.ts";
import { resolveAlias } from "../kit/alias.ts";
import type { Bus, Message } from "../kit/bus.ts";
import { failureBody, failureHeaders } from "../kit/failure.ts";
import type { Members } from "../kit/members.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import type { FrontendCalls } from "./calls.ts";
import { type CallOptions, readCallHeaders } from "./headers.ts";
import type { HotIndex } from "./hot.ts";
import { readInline } from "./inline.ts";
import { resolveCall, resolveInline } from "./resolve.ts";

export interface IntakePorts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  /** Bundles source and stores it for a while; gives its digest. Rejects with Fault BadCode. */
  readonly inlineCode: (source: string, runtime: RuntimeName, handler: string) => Promise<string>;
  readonly epoch: string;
  readonly absence: Absence;
  readonly hosts: Members;
  readonly schedulers: Members;
  readonly hot: HotIndex;
  readonly calls: Pick<FrontendCalls, "place">;
  count(counter: string): void;
}

export interface Intake {
  /** A call on a public subject. */
  onCall(message: Message): void;
  /** A call with its code in it. */
  onInline(message: Message): void;
  /** A call that a host handed on, or a host's question what a call is. */
  onHanded(message: Message): void;
  /** The caller's reply subject, or undefined when there is none that may be answered. */
  answerable(message: Message): string | undefined;
  /** Answers with the error, and counts it. */
  fail(reply: string, thrown: unknown): void;
  /** Calls of which something is still being read or bundled. */
  readonly preparing: number;
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

export function openIntake(ports: IntakePorts): Intake {
  const { bus, clock, random, log, registry, epoch, absence, hosts, schedulers, hot, calls, count } = ports;
  const newCallId = callIds(epoch);

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

  return {
    onCall,
    onInline,
    onHanded,
    answerable,
    fail,
    get preparing() {
      return preparing;
    },
  };
}
