/**
 * Frontends, schedulers and pretend hosts on a bus in memory and a clock moved by hand: the call path without
 * processes. A pretend host does what the test says; the real host has tests of its own.
 */
import { startFrontend } from "../../actors/frontend/actor.ts";
import type { Message } from "../../actors/kit/bus.ts";
import { openRegistry, type Registry } from "../../actors/kit/registry.ts";
import { startScheduler } from "../../actors/scheduler/actor.ts";
import { encode, splitHead } from "../../protocol/codec.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { type CallHead, callHead, callReport, type Refusal } from "../../protocol/messages/call.ts";
import { type HostAnnouncement, hostAnnouncement } from "../../protocol/messages/host.ts";
import { parseBackSubject, SUBJECT } from "../../protocol/subjects.ts";
import type { AccountRecord, FunctionRecord, VersionRecord } from "../../protocol/vocabulary.ts";
import { announcement } from "./fleet.ts";
import { ManualClock } from "./manual-clock.ts";
import { MemoryBodies } from "./memory-bodies.ts";
import { MemoryBroker } from "./memory-broker.ts";
import { MemoryBucket } from "./memory-bucket.ts";
import { MemoryBus } from "./memory-bus.ts";
import { MemoryLease } from "./memory-lease.ts";
import { seededRandom } from "./random.ts";
import { recordLog } from "./record-log.ts";

export interface Reply {
  readonly body: string;
  readonly error: string | undefined;
  readonly message: string;
  header(name: string): string | undefined;
}

export interface PretendHost {
  readonly id: string;
  epoch: string;
  /** Orders that reached it, oldest first. */
  readonly orders: { readonly head: CallHead; readonly body: string; readonly message: Message }[];
  announce(change?: Partial<HostAnnouncement>): void;
  /** Reports an order as taken, to its owner and its placer. */
  take(order: PretendHost["orders"][number]): void;
  /** Answers its caller and reports it as done. */
  finish(order: PretendHost["orders"][number], body?: string): void;
  refuse(order: PretendHost["orders"][number], refused: Refusal["refused"]): void;
  /** Stops listening, so that orders come back as 503; it goes on announcing when told to. */
  leave(): Promise<void>;
}

export async function openCallPath() {
  const clock = new ManualClock();
  const broker = new MemoryBroker(clock);
  const log = recordLog();
  const buckets = {
    functions: new MemoryBucket<FunctionRecord>(),
    versions: new MemoryBucket<VersionRecord>(),
    accounts: new MemoryBucket<AccountRecord>(),
  };
  const registries: Registry[] = [];
  const registry = async () => {
    const opened = await openRegistry(buckets, clock, log);
    registries.push(opened);
    return opened;
  };
  const random = seededRandom(7);
  const lease = new MemoryLease(clock);
  const bodies = new MemoryBodies();

  return {
    clock,
    broker,
    log,
    buckets,
    lease,
    bodies,
    async frontend(node = "frontend-1", inlineCode = () => Promise.resolve("0".repeat(64))) {
      const bus = new MemoryBus(broker, node);
      return { bus, ...startFrontend({ bus, control: bus, clock, random, log, registry: await registry(), inlineCode, bodies }, node) };
    },
    async scheduler(node = "scheduler-1") {
      const bus = new MemoryBus(broker, node);
      const started = startScheduler(
        { bus, control: bus, clock, random, log, registry: await registry(), lease, findInLog: () => Promise.resolve(undefined) },
        { node, instanceMb: 1_024 },
      );
      return { bus, ...started };
    },
    /** Puts a function with one version into the registry. */
    async deploy(name = "echo", change: Partial<FunctionRecord["settings"]> = {}, account = "main"): Promise<FunctionRecord> {
      const settings = {
        memoryMb: LIMITS.memoryDefault.value,
        timeoutMs: LIMITS.timeoutDefault.value,
        keepAliveMs: LIMITS.keepAlive.value,
        direct: true,
        idempotent: false,
        containers: LIMITS.containersPerFunction.value,
        ...change,
      };
      const record: FunctionRecord = {
        account,
        name,
        settings,
        aliases: { live: [{ version: 1, weight: 100 }] },
        newest: 1,
        versions: [1],
        createdAt: 0,
        changedAt: 0,
      };
      await buckets.versions.put(`${account}.${name}.1`, {
        account,
        name,
        version: 1,
        runtime: "node",
        handler: "handler",
        digest: "0".repeat(64),
        bytes: 1,
        hasMap: false,
        environment: {},
        network: false,
        createdAt: 0,
      });
      await buckets.functions.put(`${account}.${name}`, record);
      await clock.settle();
      return record;
    },
    host(id = "h1"): PretendHost {
      const bus = new MemoryBus(broker, id);
      let seq = 0;
      const host: PretendHost = {
        id,
        epoch: "e1",
        orders: [],
        announce: (change = {}) => bus.tell(hostAnnouncement, [id], announcement({ host: id, epoch: host.epoch, seq: seq++, ...change })),
        take: (order) => report(order, "taken"),
        finish(order, body = `done ${order.body}`) {
          const back = parseBackSubject(order.message.reply);
          bus.send(back?.reply ?? "", new TextEncoder().encode(body));
          report(order, "done");
        },
        refuse: (order, refused) => bus.send(order.message.reply, encode({ refused, reason: `it is ${refused}` } satisfies Refusal)),
        leave: () => listening.stop(),
      };
      const report = (order: PretendHost["orders"][number], what: "taken" | "done") => {
        const back = parseBackSubject(order.message.reply);
        const empty = { from: id, epoch: host.epoch, taken: [], done: [], placedTaken: [], placedDone: [] };
        bus.tell(callReport, [order.head.owner], { ...empty, [what]: [order.head.number] });
        if (back !== undefined && back.node !== order.head.owner)
          bus.tell(callReport, [back.node], { ...empty, [what === "taken" ? "placedTaken" : "placedDone"]: [back.number] });
      };
      const listening = bus.listen(SUBJECT.host(id), {}, (message) => {
        const { head, body } = splitHead(message.body);
        // A host that does not answer does not answer questions either.
        if (callHead.parse(head).probe === true) return;
        host.orders.push({ head: callHead.parse(head), body: new TextDecoder().decode(body), message });
      });
      return host;
    },
    /** A caller with an inbox of its own. */
    caller(name = "caller") {
      const bus = new MemoryBus(broker, name);
      const replies: Reply[] = [];
      bus.listen(`_INBOX.${name}.*`, {}, (message) => {
        replies.push({
          body: new TextDecoder().decode(message.body),
          error: message.status === 503 ? "503" : message.header("Pilot-Error"),
          message: message.header("Nats-Service-Error") ?? "",
          header: (header) => message.header(header),
        });
      });
      let count = 0;
      return {
        replies,
        call(subject: string, body = "hello", headers?: Record<string, string>, reply = `_INBOX.${name}.${++count}`) {
          bus.send(subject, new TextEncoder().encode(body), reply, headers);
        },
      };
    },
    close() {
      for (const opened of registries) opened.stop();
    },
  };
}
