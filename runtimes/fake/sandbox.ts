/**
 * The sandbox port without any process: containers are programs (program.ts) in the host's own process, on the host's
 * clock. They speak real frames over pretend sockets, so that an agent cannot tell the difference. For tests and the
 * simulator; there is no isolation at all.
 *
 * F1  Boots are queued, at most `cores` at a time, urgent ones first, each taking `bootMs`.
 * F2  `ended` fires once per container, after the burst in which it ended; a stopped program's later doings have no effect.
 */
import type { Isolation, Sandbox, SandboxedContainer, StartOrder } from "../../actors/instance/sandbox.ts";
import type { Clock } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { FakeContainer } from "./container.ts";
import type { FakeProgram } from "./program.ts";

export interface FakeOptions {
  readonly clock: Clock;
  /** Programs by the text of their code. Code without one fails to load. */
  readonly programs: Readonly<Record<string, FakeProgram>>;
  /** How long a boot takes, in ms. Default 30. */
  readonly bootMs?: number;
  /** Boots at a time. Default 2. */
  readonly cores?: number;
  /** Why a boot fails; undefined: it does not. `count`: boots before this one. */
  readonly failBoot?: (order: StartOrder, count: number) => string | undefined;
  /** Text of a file of the host, for code that is delivered as one. */
  readonly readFile?: (hostPath: string) => string;
  readonly runtimeVersions?: Partial<Record<RuntimeName, string>>;
}

interface QueuedBoot {
  readonly order: StartOrder;
  readonly askedAt: number;
  resolve(container: SandboxedContainer): void;
  reject(fault: Fault): void;
}

const VERSIONS: Record<RuntimeName, string> = { node: "node 20.20.2", python: "python 3.11.2" };

export class FakeSandbox implements Sandbox {
  readonly isolation: Isolation = {
    kind: "fake",
    namespaces: false,
    seccomp: false,
    cgroups: "none",
    ownUid: false,
    network: "own",
    gaps: ["The fake sandbox separates nothing: functions run in the host's own process."],
  };
  /** May be replaced at any time. */
  failBoot: NonNullable<FakeOptions["failBoot"]>;
  bootMs: number;
  /** Every order so far, for tests. */
  readonly orders: { readonly order: StartOrder; readonly urgent: boolean }[] = [];
  /** Instances that were removed. */
  readonly removed: string[] = [];
  readonly #options: FakeOptions;
  readonly #cores: number;
  readonly #queue: QueuedBoot[] = [];
  readonly #urgent: QueuedBoot[] = [];
  readonly #containers = new Map<string, FakeContainer>();
  readonly #spawnerLost: (() => void)[] = [];
  #booting = 0;
  #boots = 0;
  #closed = false;

  constructor(options: FakeOptions) {
    this.#options = options;
    this.#cores = options.cores ?? 2;
    this.bootMs = options.bootMs ?? 30;
    this.failBoot = options.failBoot ?? (() => undefined);
  }

  /** Containers that are alive. */
  get containers(): readonly FakeContainer[] {
    return [...this.#containers.values()];
  }

  find(container: string): FakeContainer | undefined {
    return this.#containers.get(container);
  }

  start(order: StartOrder, urgent: boolean): Promise<SandboxedContainer> {
    this.orders.push({ order, urgent });
    return new Promise((resolve, reject) => {
      (urgent ? this.#urgent : this.#queue).push({ order, askedAt: this.#options.clock.now(), resolve, reject });
      this.#next();
    });
  }

  async remove(instance: string): Promise<void> {
    await Promise.all(this.containers.filter((container) => container.instance === instance).map((container) => container.stop()));
    this.removed.push(instance);
  }

  onSpawnerLost(listener: () => void): void {
    this.#spawnerLost.push(listener);
  }

  /** The spawner dies and is replaced: every container ends with it. */
  loseSpawner(): void {
    for (const container of this.containers) container.end({ kind: "spawnerLost" });
    this.#options.clock.soon(() => {
      for (const listener of this.#spawnerLost) listener();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const boot of [...this.#queue.splice(0), ...this.#urgent.splice(0)]) boot.reject(new Fault("BootFailed", "the sandbox is closed"));
    await Promise.all(this.containers.map((container) => container.stop()));
  }

  #next(): void {
    while (this.#booting < this.#cores) {
      const boot = this.#urgent.shift() ?? this.#queue.shift();
      if (boot === undefined) return;
      this.#booting++;
      this.#options.clock.after(this.bootMs, () => {
        this.#booting--;
        this.#finish(boot);
        this.#next();
      });
    }
  }

  #finish({ order, askedAt, resolve, reject }: QueuedBoot): void {
    const reason = this.#closed ? "the sandbox is closed" : this.failBoot(order, this.#boots++);
    if (reason !== undefined) {
      reject(new Fault("BootFailed", reason));
      return;
    }
    const container = new FakeContainer({
      order,
      bootMs: this.#options.clock.now() - askedAt,
      runtimeVersion: this.#options.runtimeVersions?.[order.runtime] ?? VERSIONS[order.runtime],
      clock: this.#options.clock,
      programOf: (code) => this.#options.programs[code],
      readFile: this.#options.readFile ?? (() => ""),
      gone: () => this.#containers.delete(order.container),
    });
    this.#containers.set(order.container, container);
    resolve(container);
  }
}
