/**
 * The whole platform in one process: real frontends, schedulers with their registry service, and real hosts over fake
 * sandboxes, on a broker in memory and a clock moved by hand. Everything random comes from the seed.
 */
import { createHash } from "node:crypto";
import { startFrontend } from "../../actors/frontend/actor.ts";
import { type Host, startHost } from "../../actors/host/agent.ts";
import { openRegistry } from "../../actors/kit/registry.ts";
import { startScheduler } from "../../actors/scheduler/actor.ts";
import { serveRegistry } from "../../actors/scheduler/registry/serve.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { AccountRecord, FunctionRecord, PoolTarget, VersionRecord } from "../../protocol/vocabulary.ts";
import type { FakeProgram } from "../../runtimes/fake/program.ts";
import { FakeSandbox } from "../../runtimes/fake/sandbox.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { MemoryBodies } from "../support/memory-bodies.ts";
import { MemoryBroker, type Packet } from "../support/memory-broker.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryBus } from "../support/memory-bus.ts";
import { type Fate, MemoryLease } from "../support/memory-lease.ts";
import { seededRandom } from "../support/random.ts";
import { recordLog } from "../support/record-log.ts";
import { type Role, SimulatedNode } from "./node.ts";

export interface Size {
  readonly frontends: number;
  readonly schedulers: number;
  readonly hosts: number;
  readonly hostMb: number;
  readonly warm: number;
}

/** A process and the actor in it. */
export interface Process {
  readonly node: SimulatedNode;
  readonly frontend?: ReturnType<typeof startFrontend>;
  readonly scheduler?: ReturnType<typeof startScheduler>;
  readonly host?: Host;
  readonly sandbox?: FakeSandbox;
  readonly service?: { stop(): Promise<void> };
}

const encoder = new TextEncoder();
const INSTANCE_MB = 1_024;
const RESTART_MS = 100;

export class World {
  readonly clock = new ManualClock();
  readonly broker: MemoryBroker;
  readonly log = recordLog();
  readonly operator: MemoryBus;
  readonly caller: MemoryBus;
  readonly buckets = {
    functions: new MemoryBucket<FunctionRecord>(),
    versions: new MemoryBucket<VersionRecord>(),
    accounts: new MemoryBucket<AccountRecord>(),
    pools: new MemoryBucket<readonly PoolTarget[]>(),
    removed: new MemoryBucket<number>(),
  };
  readonly lease = new MemoryLease(this.clock);
  /** The living, by id. */
  readonly processes = new Map<string, Process>();
  /** Every life of every node. */
  readonly lives: SimulatedNode[] = [];
  /** Sees each message on its way to one receiver. */
  readonly watchers: ((packet: Packet, to: string) => void)[] = [];
  readonly size: Size;
  readonly #random;
  readonly #programs: Record<string, FakeProgram> = {};
  readonly #code = new Map<string, string>();
  readonly #delays = new Map<string, number>();
  #lives = 0;
  #leftAt = Number.NEGATIVE_INFINITY;

  constructor(seed: number, size: Size) {
    this.size = size;
    this.#random = seededRandom(seed);
    this.broker = new MemoryBroker(this.clock, seed);
    this.operator = new MemoryBus(this.broker, "operator");
    this.caller = new MemoryBus(this.broker, "caller");
    this.broker.fault = (packet, to) => {
      for (const watch of this.watchers) watch(packet, to);
      // A host that leaves the desk waits for what is on its way to it; the bus in memory does not know of delays.
      return packet.subject.startsWith("pilot.fn.") ? undefined : this.#delay(packet.from, to);
    };
  }

  async start(): Promise<this> {
    for (let n = 1; n <= this.size.schedulers; n++) await this.begin(`s${n}`, "scheduler");
    for (let n = 1; n <= this.size.frontends; n++) await this.begin(`f${n}`, "frontend");
    for (let n = 1; n <= this.size.hosts; n++) await this.begin(`h${n}`, "host");
    await this.clock.advance(1_200);
    return this;
  }

  /** Starts a node; of a name that was there before it is the next life. */
  async begin(id: string, role: Role): Promise<Process> {
    const node = new SimulatedNode(id, role, this.clock, this.broker, this.#lives++);
    const process = await (role === "frontend" ? this.#frontend(node) : role === "scheduler" ? this.#scheduler(node) : this.#host(node));
    this.lives.push(node);
    this.processes.set(id, process);
    return process;
  }

  /** For a while this becomes of every request for a lease. */
  stall(ms: number, fate: Fate): void {
    const until = this.clock.now() + ms;
    const before = this.lease.fate;
    this.lease.fate = () => (this.clock.now() < until ? fate : before());
  }

  kill(id: string): void {
    const process = this.processes.get(id);
    if (!process) return;
    this.processes.delete(id);
    process.node.kill();
  }

  /** Ends it in order. */
  async stop(id: string): Promise<void> {
    const process = this.processes.get(id);
    if (!process) return;
    this.#leftAt = Number.POSITIVE_INFINITY;
    await process.service?.stop();
    await (process.frontend ?? process.scheduler ?? process.host)?.drain();
    if (this.processes.get(id) === process) this.processes.delete(id);
    process.node.leave();
    this.#leftAt = this.clock.now();
  }

  /** When a node last left in order; infinite while one is leaving. */
  get leftAt(): number {
    return this.#leftAt;
  }

  of(role: Role): Process[] {
    return [...this.processes.values()].filter(({ node }) => node.role === role);
  }

  /** Schedulers that lead, by their own machines; none that hangs. */
  leaders(): SimulatedNode[] {
    const leads = ({ node, scheduler }: Process): boolean =>
      !node.gate.isHung && scheduler?.inspect().actors.find(({ id }) => id === "manager/busy")?.state === "leading";
    return this.of("scheduler").flatMap((process) => (leads(process) ? [process.node] : []));
  }

  /** Puts code into the store and gives its digest. */
  code(text: string, program: FakeProgram): string {
    const digest = createHash("sha256").update(text).digest("hex");
    this.#code.set(digest, text);
    this.#programs[text] = program;
    return digest;
  }

  /** What listeners and handlers threw anywhere. */
  get caught(): unknown[] {
    return [this.operator, this.caller, ...this.lives.flatMap(({ bus, control }) => [bus, control])].flatMap(({ caught }) => caught);
  }

  async close(): Promise<void> {
    for (const id of [...this.processes.keys()]) this.kill(id);
    await this.clock.settle();
  }

  async #frontend(node: SimulatedNode): Promise<Process> {
    const { bus, control, clock } = node;
    const registry = await openRegistry(this.#reach(node), clock, this.log);
    const inlineCode = async (source: string): Promise<string> => createHash("sha256").update(source).digest("hex");
    return {
      node,
      frontend: startFrontend(
        { bus, control, clock, random: this.#random, log: this.log, registry, inlineCode, bodies: new MemoryBodies() },
        node.id,
      ),
    };
  }

  async #scheduler(node: SimulatedNode): Promise<Process> {
    const { bus, control, clock } = node;
    const reached = this.#reach(node);
    const registry = await openRegistry(reached, clock, this.log);
    const scheduler = startScheduler(
      {
        bus,
        control,
        clock,
        random: this.#random,
        log: this.log,
        registry,
        lease: node.reachLease(this.lease),
        findInLog: () => Promise.resolve(undefined),
      },
      { node: node.id, instanceMb: INSTANCE_MB },
    );
    const service = serveRegistry({
      ...reached,
      bus: control,
      registry,
      clock,
      log: this.log,
      hasCode: async (digest) => this.#code.has(digest),
      live: () => scheduler.live(),
    });
    return { node, scheduler, service };
  }

  async #host(node: SimulatedNode): Promise<Process> {
    const { bus, control, clock } = node;
    const sandbox = new FakeSandbox({ clock, programs: this.#programs, bootMs: 40 });
    const { versions } = this.#reach(node);
    const host = startHost(
      {
        bus,
        control,
        clock,
        random: this.#random,
        log: this.log,
        sandbox,
        code: {
          take: async (digest) => {
            const text = this.#code.get(digest);
            if (text === undefined) throw new Fault("NotFound", "there is no such code");
            return { digest, size: text.length, downloaded: false, bytes: encoder.encode(text), release: () => undefined };
          },
          has: () => true,
          cached: async () => undefined,
          keepCached: async () => undefined,
          list: () => [],
          counts: () => ({ downloads: 0, downloadedBytes: 0, hits: 0, corrupt: 0, evicted: 0, diskFailures: 0, bytes: 0 }),
        },
        async versions(account, name, version) {
          const stored = await versions.get(`${account}.${name}.${version}`);
          if (stored === undefined) throw new Fault("FunctionNotFound", "there is no such version");
          return stored.value;
        },
        mapStack: (_digest, stack) => stack,
        // Its supervisor starts it again.
        lost: () => {
          this.kill(node.id);
          this.clock.after(RESTART_MS, () => void this.begin(node.id, "host"));
        },
        data: { get: async () => undefined, put: async () => undefined, delete: async () => undefined },
        bodies: new MemoryBodies().whole,
      },
      {
        host: node.id,
        memoryMb: this.size.hostMb,
        cores: 2,
        instanceMb: INSTANCE_MB,
        pools: [{ runtime: "node", memoryMb: INSTANCE_MB, warm: this.size.warm }],
      },
    );
    return { node, host, sandbox };
  }

  #reach(node: SimulatedNode) {
    const { functions, versions, accounts, pools, removed } = this.buckets;
    return {
      functions: node.reach(functions),
      versions: node.reach(versions),
      accounts: node.reach(accounts),
      pools: node.reach(pools),
      removed: node.reach(removed),
    };
  }

  /** Each pair of connections has a delay of its own, so that what one sends to another stays in order. */
  #delay(from: string, to: string): number | undefined {
    const pair = `${from}>${to}`;
    let delay = this.#delays.get(pair);
    if (delay === undefined) {
      const drawn = this.#random.next();
      delay = drawn < 0.6 ? 0 : drawn < 0.95 ? 1 : 4;
      this.#delays.set(pair, delay);
    }
    return delay === 0 ? undefined : delay;
  }
}

/** What may pass until everything that was lost on the way has been given up. */
export const REST_MS = LIMITS.boot.value + LIMITS.load.value + LIMITS.waitForPlace.value + 7_000;
