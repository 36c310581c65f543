/** One storm: the platform is started, things are done to it one after the other, it comes to rest, and is judged. */
import fc from "fast-check";
import { cancelCall } from "../../protocol/messages/fleet.ts";
import { deployFunction, setAccount, setAlias, setFunction, setPool } from "../../protocol/messages/registry.ts";
import type { Fate } from "../support/memory-lease.ts";
import { judge } from "./judge.ts";
import { type Change, type Doing, Ledger } from "./ledger.ts";
import type { Role } from "./node.ts";
import { Watch } from "./watch.ts";
import { REST_MS, type Size, World } from "./world.ts";

/** Functions of every storm; their numbers are bounds of containers. */
const FUNCTIONS = {
  "a.plain": { containers: 6 },
  "a.rare": { class: "rare", containers: 4 },
  "a.repeat": { idempotent: true, containers: 4 },
  "b.busy": { class: "busy", containers: 5 },
  "b.big": { memoryMb: 700, containers: 3 },
  "b.indirect": { direct: false, containers: 3 },
} as const;
type FunctionName = keyof typeof FUNCTIONS;
const NAMES = Object.keys(FUNCTIONS) as FunctionName[];
const ACCOUNT_CAP = 8;

const name = fc.constantFrom(...NAMES);
const doing = fc.constantFrom<Doing>("return", "return", "return", "sleep", "sleep", "sleep", "throw", "hang", "crash", "hungry");
const ms = fc.constantFrom(1, 5, 20, 60, 150, 390);

const call = fc.record({
  kind: fc.constant("call" as const),
  name,
  doing,
  ms,
  times: fc.constantFrom(1, 1, 1, 2, 8, 20),
  how: fc.constantFrom("plain", "plain", "plain", "plain", "version", "trace", "deadline", "memory"),
});
/** A call of a function that calls another of its account. */
const nest = fc.record({
  kind: fc.constant("nest" as const),
  name,
  inner: fc.nat(2),
  doing: fc.constantFrom<Doing>("return", "return", "sleep", "throw", "crash"),
  ms,
  times: fc.constantFrom(1, 1, 2, 8),
});
const advance = fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(0, 1, 3, 10, 30, 100, 100, 400) });
const change = fc.oneof(
  fc.record({ kind: fc.constant("deploy" as const), name, waits: fc.boolean() }),
  fc.record({ kind: fc.constant("alias" as const), name, version: fc.nat(3), weight: fc.constantFrom(0, 0, 30), waits: fc.boolean() }),
  fc.record({ kind: fc.constant("settings" as const), name, class: fc.constantFrom("busy", "rare", null), direct: fc.boolean() }),
  fc.record({
    kind: fc.constant("account" as const),
    account: fc.constantFrom("a", "b"),
    containers: fc.integer({ min: 1, max: ACCOUNT_CAP }),
  }),
  fc.record({ kind: fc.constant("pool" as const), warm: fc.nat(2) }),
  fc.record({ kind: fc.constant("cancel" as const), back: fc.nat(5) }),
);
const role = fc.constantFrom<Role>("frontend", "scheduler", "host", "host");
const kill = fc.record({ kind: fc.constant("kill" as const), role, which: fc.nat(5), ms: fc.constantFrom(1, 50, 500, 3_000, 6_000) });
const stop = fc.record({ kind: fc.constant("stop" as const), role, which: fc.nat(5), ms: fc.constantFrom(1, 50, 500, 3_000, 6_000) });
const cut = fc.record({ kind: fc.constant("cut" as const), role, which: fc.nat(5), ms: fc.constantFrom(5, 100, 700, 1_600, 3_500) });
const hang = fc.record({ kind: fc.constant("hang" as const), role, which: fc.nat(5), ms: fc.constantFrom(5, 100, 700, 1_600, 3_500) });

/** Long enough for another to take over, and for a lease to go. */
const longer = fc.constantFrom(100, 2_500, 3_500, 4_500, 7_000, 17_000);
/** To whoever leads then, and to where the leases are: for a while no write of one works, or it works and is not answered. */
const leader = fc.record({ kind: fc.constant("leader" as const), how: fc.constantFrom("kill", "hang", "hang", "cut"), ms: longer });
const stall = fc.record({ kind: fc.constant("stall" as const), ms: longer, fate: fc.constantFrom<Fate>("refused", "unanswered") });
const wait = fc.record({ kind: fc.constant("advance" as const), ms: fc.constantFrom(100, 1_000, 2_000, 4_000) });

/** What may happen in a storm of each kind. */
export const STEPS = {
  calm: fc.oneof({ weight: 8, arbitrary: call }, { weight: 8, arbitrary: advance }, { weight: 2, arbitrary: change }),
  kills: fc.oneof(
    { weight: 8, arbitrary: call },
    { weight: 9, arbitrary: advance },
    { weight: 2, arbitrary: change },
    { weight: 1, arbitrary: kill },
  ),
  stops: fc.oneof(
    { weight: 8, arbitrary: call },
    { weight: 9, arbitrary: advance },
    { weight: 2, arbitrary: change },
    { weight: 1, arbitrary: stop },
  ),
  cuts: fc.oneof(
    { weight: 8, arbitrary: call },
    { weight: 9, arbitrary: advance },
    { weight: 2, arbitrary: change },
    { weight: 1, arbitrary: cut },
    { weight: 1, arbitrary: hang },
  ),
  nested: fc.oneof(
    { weight: 2, arbitrary: call },
    { weight: 8, arbitrary: nest },
    { weight: 10, arbitrary: advance },
    { weight: 1, arbitrary: change },
    { weight: 1, arbitrary: kill },
  ),
  leaders: fc.oneof(
    { weight: 8, arbitrary: call },
    { weight: 6, arbitrary: advance },
    { weight: 4, arbitrary: wait },
    { weight: 2, arbitrary: change },
    { weight: 2, arbitrary: leader },
    { weight: 1, arbitrary: stall },
  ),
};
type Arbitrary<A> = A extends fc.Arbitrary<infer T> ? T : never;
export type Step =
  | Arbitrary<(typeof STEPS)["calm"]>
  | Arbitrary<(typeof STEPS)["kills"]>
  | Arbitrary<(typeof STEPS)["stops"]>
  | Arbitrary<(typeof STEPS)["cuts"]>
  | Arbitrary<(typeof STEPS)["nested"]>
  | Arbitrary<(typeof STEPS)["leaders"]>;

export interface Outcome {
  /** What must not be; empty when all is well. */
  readonly problems: string[];
  readonly world: World;
  readonly ledger: Ledger;
  readonly watch: Watch;
}

/** Runs one storm to its end. Everything in it follows from the arguments. */
export async function storm(seed: number, size: Size, steps: readonly Step[]): Promise<Outcome> {
  const world = await new World(seed, size).start();
  const ledger = new Ledger(world);
  const least = steps.reduce((cap, step) => (step.kind === "account" ? Math.min(cap, step.containers) : cap), ACCOUNT_CAP);
  const caps = {
    functions: new Map<string, number>(NAMES.map((key) => [key, FUNCTIONS[key].containers])),
    accounts: { most: ACCOUNT_CAP, least },
  };
  const watch = new Watch(world, caps);
  const runner = new Storm(world, ledger);
  await runner.prepare();
  const looking = world.clock.every(50, () => watch.look());
  for (const step of steps) await runner.step(step);
  await world.clock.advance(REST_MS);
  await runner.settled();
  await world.clock.advance(REST_MS);
  looking.cancel();
  const problems = [...watch.complaints, ...judge(world, ledger)];
  await world.close();
  return { problems, world, ledger, watch };
}

class Storm {
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #newest = new Map<string, number>();
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #open = new Set<Promise<unknown>>();
  readonly #stopping = new Set<string>();

  constructor(world: World, ledger: Ledger) {
    this.#world = world;
    this.#ledger = ledger;
  }

  async prepare(): Promise<void> {
    const { operator, clock } = this.#world;
    for (const account of ["a", "b"]) this.#later(operator.ask(setAccount, [], { account, create: true, containers: ACCOUNT_CAP }));
    await clock.advance(200);
    for (const key of NAMES) this.#deploy(key, { timeoutMs: 400, keepAliveMs: 2_000, ...FUNCTIONS[key] });
    await clock.advance(3_000);
  }

  /** Everything that was asked of operators' services has been answered, or given up. */
  async settled(): Promise<void> {
    while (this.#open.size > 0) await this.#world.clock.advance(1_000);
  }

  async step(step: Step): Promise<void> {
    const { clock, operator } = this.#world;
    switch (step.kind) {
      case "advance":
        return clock.advance(step.ms);
      case "call":
        for (let time = 0; time < step.times; time++) this.#call(step);
        return;
      case "nest": {
        const own = NAMES.filter((key) => key.startsWith(step.name.slice(0, 2)));
        const inner = own[step.inner % own.length] ?? step.name;
        for (let time = 0; time < step.times; time++)
          this.#ledger.call(step.name, step.doing, step.ms, { idempotent: step.name === "a.repeat", inner });
        return;
      }
      case "deploy":
        this.#deploy(step.name, {});
        return step.waits ? clock.advance(30) : undefined;
      case "alias":
        this.#alias(step.name, step.version, step.weight);
        return step.waits ? clock.advance(30) : undefined;
      case "settings": {
        const [account = "", fn = ""] = step.name.split(".");
        return this.#later(operator.ask(setFunction, [], { account, name: fn, change: { class: step.class, direct: step.direct } }));
      }
      case "account":
        return this.#later(operator.ask(setAccount, [], { account: step.account, create: false, containers: step.containers }));
      case "pool":
        return this.#later(operator.ask(setPool, [], { runtime: "node", memoryMb: 1_024, warm: step.warm }));
      case "cancel": {
        const id = this.#ledger.calls.at(-1 - step.back)?.runs[0]?.id;
        return id === undefined ? undefined : this.#later(operator.ask(cancelCall, [], { id }));
      }
      case "stall":
        return this.#world.stall(step.ms, step.fate);
      case "leader": {
        const [leader] = this.#world.leaders();
        if (leader === undefined || !leader.isWell) return;
        return step.how === "kill" ? this.#killOne(leader.id, "scheduler", step.ms) : leader[step.how](step.ms);
      }
      case "stop":
        return this.#stop(step.role, step.which, step.ms);
      case "kill":
        return this.#kill(step.role, step.which, step.ms);
      default: {
        const well = this.#world.of(step.role).filter(({ node }) => node.isWell);
        return well[step.which % well.length]?.node[step.kind](step.ms);
      }
    }
  }

  #call(step: Extract<Step, { kind: "call" }>): void {
    const idempotent = step.name === "a.repeat";
    const { how } = step;
    this.#ledger.call(step.name, step.doing, step.ms, {
      idempotent,
      ...(how === "version" && { qualifier: "1" }),
      ...(how === "trace" && { headers: { "Pilot-Trace": "1" } }),
      ...(how === "deadline" && { headers: { "Pilot-Deadline": "200" } }),
      ...(how === "memory" && { headers: { "Pilot-Memory": "256" } }),
    });
  }

  #kill(role: Role, which: number, ms: number): void {
    const living = this.#world.of(role);
    this.#killOne(living[which % living.length]?.node.id ?? "", role, ms);
  }

  #killOne(id: string, role: Role, ms: number): void {
    // The last of its kind stays: nobody could answer at all.
    if (this.#world.of(role).length < 2) return;
    this.#world.kill(id);
    this.#world.clock.after(ms, () => void this.#world.begin(id, role));
  }

  /** An orderly end; another life of it begins afterwards. */
  #stop(role: Role, which: number, ms: number): void {
    const staying = this.#world.of(role).filter(({ node }) => !this.#stopping.has(node.id));
    const one = staying[which % staying.length];
    // Another has to be there that takes what comes.
    if (one === undefined || staying.length < 2) return;
    const { id } = one.node;
    this.#stopping.add(id);
    const began = async (): Promise<void> => {
      await this.#world.stop(id);
      await new Promise<void>((resolve) => void this.#world.clock.after(ms, resolve));
      this.#stopping.delete(id);
      await this.#world.begin(id, role);
    };
    this.#later(began());
  }

  #deploy(key: FunctionName, settings: object): void {
    const [account = "", fn = ""] = key.split(".");
    this.#inTurn(key, async (change) => {
      const version = (this.#newest.get(key) ?? 0) + 1;
      const text = `${key}:${version}`;
      const digest = this.#world.code(text, this.#ledger.program(version, version % 2 === 0 ? 15 : 0));
      const deployed = await this.#world.operator.ask(deployFunction, [], {
        account,
        name: fn,
        runtime: "node",
        handler: "handler",
        digest,
        bytes: text.length,
        hasMap: false,
        settings,
      });
      this.#newest.set(key, deployed.version.version);
      // An earlier one that was not answered may have taken the number: then this code does not know its own version.
      if (deployed.version.version === version) this.#written(change, deployed);
    });
  }

  #alias(key: FunctionName, version: number, weight: number): void {
    const [account = "", fn = ""] = key.split(".");
    this.#inTurn(key, async (change) => {
      const newest = this.#newest.get(key) ?? 1;
      const first = Math.max(1, newest - version);
      const shares =
        weight > 0 && first !== newest
          ? [
              { version: first, weight },
              { version: newest, weight: 100 - weight },
            ]
          : [{ version: first, weight: 100 }];
      this.#written(change, await this.#world.operator.ask(setAlias, [], { account, name: fn, alias: "live", shares }));
    });
  }

  #written(
    change: Change,
    written: {
      readonly function: { readonly aliases: Readonly<Record<string, readonly { readonly version: number }[]>> };
      readonly unconfirmed: readonly string[];
    },
  ): void {
    change.versions = new Set((written.function.aliases["live"] ?? []).map((share) => share.version));
    if (written.unconfirmed.length === 0) change.confirmedAt = this.#world.clock.now();
  }

  /** One change of a function after the other. */
  #inTurn(key: string, work: (change: Change) => Promise<void>): void {
    const turn = (this.#queues.get(key) ?? Promise.resolve()).then(() => work(this.#ledger.begin(key))).catch(() => undefined);
    this.#queues.set(key, turn);
    this.#later(turn);
  }

  #later(promise: Promise<unknown>): void {
    const ended = promise.then(
      () => undefined,
      () => undefined,
    );
    this.#open.add(ended);
    void ended.then(() => this.#open.delete(ended));
  }
}
