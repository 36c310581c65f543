/** A host agent on a bus in memory, a clock moved by hand and a fake sandbox; with a caller, a frontend, a keeper and a code store that obey the test. */
import { createHash } from "node:crypto";
import type { ExecutionContext } from "ava";
import { type Host, type HostOptions, startHost } from "../../../actors/host/agent.ts";
import type { CodeCache } from "../../../actors/host/code.ts";
import type { Message } from "../../../actors/kit/bus.ts";
import { BODY_HEADER, parseBody } from "../../../protocol/bodies.ts";
import { decode, encode, joinHead, splitHead } from "../../../protocol/codec.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { type AskedCall, type CallHead, callRecords, callReport, type HandedCall, type Refusal } from "../../../protocol/messages/call.ts";
import {
  type Grant,
  grantFunctions,
  type HostAnnouncement,
  hostAnnouncement,
  nodeAnnouncement,
  recallGrant,
} from "../../../protocol/messages/host.ts";
import { type FunctionLogs, functionLogs } from "../../../protocol/messages/logs.ts";
import { parseBackSubject, SUBJECT } from "../../../protocol/subjects.ts";
import type { CallRecord, VersionRecord } from "../../../protocol/vocabulary.ts";
import type { FakeProgram } from "../../../runtimes/fake/program.ts";
import { FakeSandbox } from "../../../runtimes/fake/sandbox.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryBodies } from "../../support/memory-bodies.ts";
import { MemoryBroker } from "../../support/memory-broker.ts";
import { MemoryBus } from "../../support/memory-bus.ts";
import { seededRandom } from "../../support/random.ts";
import { recordLog } from "../../support/record-log.ts";

export interface Reply {
  readonly body: string;
  readonly bytes: Uint8Array;
  readonly error: string | undefined;
  readonly message: string;
  header(name: string): string | undefined;
}

/** A call under way: what has come back of it so far. */
export interface Sent {
  readonly id: string;
  /** Where the caller waits. */
  readonly inbox: string;
  readonly replies: Reply[];
  readonly refusals: (Refusal | "absent")[];
  /** The only reply; fails when there is none or more than one. */
  readonly reply: Reply;
  /** The only refusal. */
  readonly refused: string;
}

export type Report = ReturnType<typeof callReport.body.parse>;

export interface HandedOn {
  readonly handed: HandedCall;
  readonly body: string;
  readonly reply: string;
}

export interface KeptOn {
  readonly head: CallHead;
  readonly body: string;
  readonly reply: string;
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const bytesOf = (value: string): Uint8Array => new TextEncoder().encode(value);
const digestOf = (code: string): string => createHash("sha256").update(code).digest("hex");

/** Programs that most tests use, by name; a version runs the program of its function's name. */
const PROGRAMS: Record<string, FakeProgram> = {
  echo: { run: (body) => body.slice() },
  sleep: {
    run: async (body, context) => {
      await context.sleep(Number(text(body)));
      return bytesOf("slept");
    },
  },
  hang: { run: () => new Promise(() => undefined) },
  throw: {
    run() {
      const error = new TypeError("no luck");
      error.stack = "TypeError: no luck\n    at function.cjs:1:1";
      throw error;
    },
  },
};

export class Rig {
  readonly clock = new ManualClock();
  readonly broker = new MemoryBroker(this.clock);
  readonly bus = new MemoryBus(this.broker, "h1");
  readonly control = new MemoryBus(this.broker, "h1-control");
  readonly outside = new MemoryBus(this.broker, "outside");
  readonly sandbox: FakeSandbox;
  readonly host: Host;
  readonly log = recordLog();
  readonly announcements: HostAnnouncement[] = [];
  readonly reports: (Report & { readonly to: string })[] = [];
  readonly records: CallRecord[] = [];
  readonly logs: FunctionLogs[] = [];
  readonly toKeeper: KeptOn[] = [];
  readonly toDesk: HandedOn[] = [];
  /** What frontends were asked about nested calls, and where they answer. */
  readonly asked: { readonly question: AskedCall; readonly back: string }[] = [];
  /** Whether frontends answer such questions. */
  answering = true;
  readonly data = new Map<string, Uint8Array>();
  readonly bodies = new MemoryBodies();
  readonly downloads: string[] = [];
  /** What the host kept for its next start. */
  readonly cordons: boolean[] = [];
  /** Change what a version is; by account.function.version. */
  readonly versions = new Map<string, Partial<VersionRecord>>();
  readonly #code = new Map<string, string>();
  readonly #sent = new Map<number, Sent>();
  readonly #replies = new Map<string, Reply[]>();
  #next = 1;

  constructor(
    options: Partial<HostOptions>,
    programs: Record<string, FakeProgram>,
    sandbox: Partial<ConstructorParameters<typeof FakeSandbox>[0]>,
  ) {
    this.sandbox = new FakeSandbox({ clock: this.clock, programs: { ...PROGRAMS, ...programs }, ...sandbox });
    for (const node of ["f1", "k1", "h2"]) {
      this.outside.hear(callReport, [node], (report) => this.reports.push({ ...report, to: node }));
    }
    this.outside.hear(hostAnnouncement, ["h1"], (announcement) => this.announcements.push(announcement));
    this.outside.hear(callRecords, ["h1"], ({ calls }) => this.records.push(...(calls as CallRecord[])));
    this.outside.hear(functionLogs, ["*", "*"], (logs) => this.logs.push(logs));
    this.outside.listen("_INBOX.>", {}, (message) => this.#answered(message));
    this.outside.listen("_pilot.back.f1.>", {}, (message) => this.#cameBack(message));
    this.outside.listen("_pilot.back.k1.>", {}, (message) => this.#cameBack(message));
    this.host = startHost(
      {
        bus: this.bus,
        control: this.control,
        clock: this.clock,
        random: seededRandom(7),
        log: this.log,
        sandbox: this.sandbox,
        code: this.#cache(),
        versions: async (account, name, version) => this.#version(account, name, version),
        mapStack: (_digest, stack) => stack.replace("function.cjs", "source.ts"),
        data: {
          get: async (account, key) => this.data.get(`${account}/${key}`),
          put: async (account, key, value) => void this.data.set(`${account}/${key}`, value),
          delete: async (account, key) => void this.data.delete(`${account}/${key}`),
        },
        bodies: this.bodies.whole,
        keepCordon: async (cordoned) => void this.cordons.push(cordoned),
      },
      { host: "h1", memoryMb: 8_192, cores: 2, pools: [{ runtime: "node", memoryMb: 1_024, warm: 1 }], ...options },
    );
  }

  /** Lets a keeper and frontends exist. */
  withKeeper(): void {
    this.outside.listen(SUBJECT.keeper("k1"), {}, (message) => {
      const { head, body } = splitHead(message.body);
      this.toKeeper.push({ head: head as CallHead, body: text(body), reply: message.reply });
    });
  }

  withDesk(): void {
    this.outside.listen(SUBJECT.desk, { queue: "frontends" }, (message) => {
      const { head, body } = splitHead(message.body);
      if ("asks" in (head as object)) return this.#asked(head as AskedCall, message.reply);
      this.toDesk.push({ handed: head as HandedCall, body: text(body), reply: message.reply });
    });
  }

  /** Frontends that say what nested calls are, and a keeper that is known: the scheduler of that name lives until what is given is called. */
  withPlacing(epoch = "k"): () => void {
    this.withDesk();
    this.withKeeper();
    return this.withScheduler(epoch);
  }

  /** A scheduler k1 that announces itself, until what is given is called. */
  withScheduler(epoch = "k"): () => void {
    const say = () => this.outside.tell(nodeAnnouncement, ["scheduler", "k1"], { node: "k1", epoch, draining: false });
    say();
    const timer = this.clock.every(LIMITS.nodeHeartbeat.value, say);
    return () => timer.cancel();
  }

  /** A frontend's answer: what the call is. */
  answer(at = this.asked.length - 1): void {
    const { question, back } = this.asked[at] ?? {};
    if (question === undefined || back === undefined) throw new Error("nothing was asked");
    const { owner: _, number: __, place: ___, ...head } = this.head(question.function, { account: question.account });
    this.outside.send(back, encode({ resolved: { ...head, ...claimOf(question) } }));
  }

  head(name: string, change: Partial<CallHead> = {}): CallHead {
    const number = this.#next++;
    return {
      call: `000000000call${number}`,
      account: "main",
      function: name,
      version: 1,
      memoryMb: 128,
      timeoutMs: 1_000,
      keepAliveMs: 60_000,
      containers: 100,
      waitMs: 3_000,
      receivedAt: this.clock.epoch(),
      trace: true,
      class: "rare",
      owner: "f1",
      number,
      attempt: 1,
      idempotent: false,
      place: { rung: "warm", by: "keeper", reason: "a test" },
      ...change,
    };
  }

  /** Orders a call of the host, as a frontend or keeper does. `back` replaces the whole back subject. */
  order(head: CallHead, body = "", back?: string): Sent {
    const inbox = `_INBOX.c.${head.number}`;
    const sent = this.#expect(head.number, head.call, inbox);
    const placer = head.place?.by === "keeper" ? "k1" : "f1";
    this.outside.send(SUBJECT.host("h1"), joinHead(head, bytesOf(body)), back ?? SUBJECT.back(placer, head.number, 1, inbox));
    return sent;
  }

  /** Orders a call on a rung. */
  call(name: string, rung: NonNullable<CallHead["place"]>["rung"], body = "", change: Partial<CallHead> = {}, instance?: string): Sent {
    return this.order(
      this.head(name, {
        ...change,
        place: { rung, by: "keeper", queue: true, ...(instance !== undefined && { instance }), ...change.place },
      }),
      body,
    );
  }

  /** Calls the public subject. */
  direct(name: string, body = "", headers?: Record<string, string>, reply?: string): Sent {
    const number = this.#next++;
    const inbox = reply ?? `_INBOX.d.${number}`;
    const sent = this.#expect(number, "", inbox);
    this.outside.send(SUBJECT.fn("main", name), bytesOf(body), inbox, headers);
    return sent;
  }

  grantOf(name: string, change: Partial<Grant> = {}): Grant {
    return {
      account: "main",
      function: name,
      version: 1,
      memoryMb: 128,
      timeoutMs: 1_000,
      keepAliveMs: 60_000,
      idempotent: false,
      class: "busy",
      containers: 100,
      subscriptions: 2,
      epoch: 1,
      keeper: "k1",
      lifeMs: LIMITS.grantLife.value,
      ...change,
    };
  }

  async grant(name: string, change: Partial<Grant> = {}): Promise<readonly string[]> {
    const { refused } = await this.settled(this.outside.ask(grantFunctions, ["h1"], { grants: [this.grantOf(name, change)] }));
    return refused;
  }

  async recall(name: string, epoch: number): Promise<void> {
    await this.settled(this.outside.ask(recallGrant, ["h1"], { account: "main", function: name, epoch }));
  }

  /** Lets what needs no time happen, and gives the result. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    await this.clock.settle();
    await this.clock.settle();
    return promise;
  }

  /** The host boots its warm pool. */
  async warmed(): Promise<this> {
    await this.clock.advance(100);
    return this;
  }

  /** The newest full announcement after one heartbeat. */
  async announced(): Promise<HostAnnouncement> {
    await this.clock.advance(LIMITS.nodeHeartbeat.value);
    const full = this.announcements.filter((announcement) => announcement.full).at(-1);
    if (full === undefined) throw new Error("the host announced nothing");
    return full;
  }

  get instances(): ReturnType<Host["describe"]>["instances"] {
    return this.host.describe().instances;
  }

  get active(): ReturnType<Host["describe"]>["instances"] {
    return this.instances.filter(({ state }) => state === "active");
  }

  counter(name: string): number {
    return this.host.describe().counters[name] ?? 0;
  }

  #expect(number: number, id: string, inbox: string): Sent {
    const replies: Reply[] = [];
    const refusals: (Refusal | "absent")[] = [];
    const sent: Sent = {
      id,
      inbox,
      replies,
      refusals,
      get reply(): Reply {
        const [reply] = replies;
        if (reply === undefined || replies.length > 1) throw new Error(`${replies.length} replies; refusals: ${JSON.stringify(refusals)}`);
        return reply;
      },
      get refused(): string {
        const [refusal] = refusals;
        if (refusal === undefined || refusals.length > 1) throw new Error(`${refusals.length} refusals, ${replies.length} replies`);
        return refusal === "absent" ? refusal : refusal.refused;
      },
    };
    this.#sent.set(number, sent);
    this.#replies.set(inbox, replies);
    return sent;
  }

  #answered(message: Message): void {
    this.#replies.get(message.subject)?.push({
      body: text(message.body),
      bytes: message.body.slice(),
      error: message.header("Pilot-Error"),
      message: message.header("Nats-Service-Error") ?? "",
      header: (name) => message.header(name),
    });
  }

  #asked(question: AskedCall, back: string): void {
    this.asked.push({ question, back });
    if (this.answering) this.answer();
  }

  #cameBack(message: Message): void {
    const back = parseBackSubject(message.subject);
    const sent = back && this.#sent.get(back.number);
    sent?.refusals.push(message.status === 503 ? "absent" : (decode(message.body) as Refusal));
  }

  #version(account: string, name: string, version: number): VersionRecord {
    if (name === "unknown") throw new Fault("FunctionNotFound", "there is no such version");
    const change = this.versions.get(`${account}.${name}.${version}`) ?? {};
    this.#code.set(digestOf(name), name);
    return {
      account,
      name,
      version,
      runtime: "node",
      handler: "handler",
      digest: digestOf(name),
      bytes: name.length,
      hasMap: false,
      environment: {},
      network: false,
      createdAt: 0,
      ...change,
    };
  }

  #cache(): CodeCache {
    const cached = new Map<string, Uint8Array>();
    return {
      take: async (digest) => {
        const code = this.#code.get(digest);
        if (code === undefined) throw new Fault("CodeUnavailable", "the store does not answer");
        const downloaded = !this.downloads.includes(digest);
        if (downloaded) this.downloads.push(digest);
        return { digest, size: code.length, downloaded, bytes: bytesOf(code), release: () => undefined };
      },
      has: (digest) => this.downloads.includes(digest),
      cached: async (digest, account) => cached.get(`${digest}@${account}`),
      keepCached: async (digest, account, data) => void cached.set(`${digest}@${account}`, data),
      list: () => [],
      counts: () => ({ downloads: this.downloads.length, downloadedBytes: 0, hits: 0, corrupt: 0, evicted: 0, diskFailures: 0, bytes: 0 }),
    };
  }
}

function claimOf({ headers }: AskedCall): Partial<CallHead> {
  const bodyRef = parseBody(headers[BODY_HEADER] ?? "");
  return bodyRef === undefined ? {} : { bodyRef };
}

/** A rig whose host has a warm instance, closed at the end of the test. */
export async function rig(
  t: ExecutionContext,
  options: Partial<HostOptions> = {},
  programs: Record<string, FakeProgram> = {},
  sandbox: Partial<ConstructorParameters<typeof FakeSandbox>[0]> = {},
): Promise<Rig> {
  const made = new Rig(options, programs, sandbox);
  t.teardown(async () => {
    await made.settled(made.host.close());
  });
  return made.warmed();
}
