/**
 * Schedulers that are nothing but candidates for one lease, and hosts that are nothing but fences: what leadership does by itself,
 * under pauses, cuts, deaths and a store that stalls, on a clock moved by hand.
 */
import { Fence } from "../../../../actors/host/fence.ts";
import { Leadership } from "../../../../actors/scheduler/manager/leadership.ts";
import { LIMITS } from "../../../../protocol/limits.ts";
import { grantFunctions, nodeAnnouncement } from "../../../../protocol/messages/host.ts";
import { SimulatedNode } from "../../../simulation/node.ts";
import { ManualClock } from "../../../support/manual-clock.ts";
import { MemoryBroker } from "../../../support/memory-broker.ts";
import { MemoryBus } from "../../../support/memory-bus.ts";
import { type Fate, MemoryLease } from "../../../support/memory-lease.ts";
import { recordLog } from "../../../support/record-log.ts";

const ORDER_MS = 100;
const HOSTS = ["h1", "h2"];

export interface Candidate {
  readonly node: SimulatedNode;
  readonly life: string;
  readonly leadership: Leadership;
  readonly changes: { readonly leads: boolean; readonly from: string | undefined; readonly at: number }[];
  isDraining: boolean;
}

export interface Order {
  readonly host: string;
  readonly epoch: number;
  readonly life: string;
  readonly at: number;
  readonly isObeyed: boolean;
}

export class Candidates {
  readonly clock = new ManualClock();
  readonly broker = new MemoryBroker(this.clock);
  readonly lease = new MemoryLease(this.clock);
  readonly log = recordLog();
  /** The living, by id. */
  readonly living = new Map<string, Candidate>();
  /** What reached hosts, in order. */
  readonly orders: Order[] = [];
  /** What a store that stalls does with requests, in turn. */
  fates: readonly Fate[] = ["refused"];
  readonly #ids: readonly string[];
  #stalledUntil = 0;
  #asked = 0;
  #lives = 0;

  constructor(count: number) {
    this.#ids = Array.from({ length: count }, (_, nth) => `s${nth + 1}`);
    this.lease.fate = () =>
      this.clock.now() < this.#stalledUntil ? (this.fates[this.#asked++ % this.fates.length] ?? "refused") : "answered";
    for (const host of HOSTS) this.#host(host);
    for (const id of this.#ids) this.begin(id);
  }

  /** Starts a life of a scheduler. */
  begin(id: string): Candidate {
    const node = new SimulatedNode(id, "scheduler", this.clock, this.broker, this.#lives++);
    const { clock, control } = node;
    const life = `l${this.#lives}`;
    const changes: Candidate["changes"] = [];
    const announce = (): void =>
      control.tell(nodeAnnouncement, ["scheduler", id], {
        node: id,
        epoch: life,
        draining: candidate.isDraining,
        leads: leadership.epoch === undefined ? [] : ["busy"],
      });
    const leadership = new Leadership({
      control,
      clock,
      log: this.log,
      lease: node.reachLease(this.lease),
      class: "busy",
      node: id,
      life,
      changed: (leads, from) => {
        changes.push({ leads, from, at: this.clock.now() });
        announce();
      },
    });
    const candidate: Candidate = { node, life, leadership, changes, isDraining: false };
    control.hear(nodeAnnouncement, ["scheduler", "*"], (member) => leadership.heard(member));
    clock.every(LIMITS.nodeHeartbeat.value, announce);
    clock.every(ORDER_MS, () => {
      const leaderEpoch = leadership.epoch;
      if (leaderEpoch === undefined) return;
      for (const host of HOSTS)
        control.ask(grantFunctions, [host], { grants: [], leaderEpoch }).then(
          ({ fenced }) => fenced !== undefined && leadership.fenced(fenced),
          () => undefined,
        );
    });
    announce();
    this.living.set(id, candidate);
    return candidate;
  }

  /** The scheduler that leads, by its own word; all of them, where several think so. */
  leaders(): Candidate[] {
    return [...this.living.values()].filter(({ node, leadership }) => !node.gate.isHung && leadership.epoch !== undefined);
  }

  at(which: number): Candidate | undefined {
    return this.living.get(this.#ids[which % this.#ids.length] ?? "");
  }

  /** Dies, and starts again after so many ms. */
  kill(candidate: Candidate, ms: number): void {
    if (this.living.get(candidate.node.id) !== candidate) return;
    this.living.delete(candidate.node.id);
    candidate.node.kill();
    this.clock.after(ms, () => {
      if (!this.living.has(candidate.node.id)) this.begin(candidate.node.id);
    });
  }

  /** Leaves in order, and starts again when it has. */
  drain(candidate: Candidate, ms: number): void {
    if (candidate.isDraining || !candidate.node.isWell) return;
    candidate.isDraining = true;
    void candidate.leadership.drain().then(() => this.kill(candidate, ms));
  }

  /** The store answers nothing as it should for a while. */
  stall(ms: number): void {
    this.#stalledUntil = Math.max(this.#stalledUntil, this.clock.now() + ms);
  }

  #host(host: string): void {
    const bus = new MemoryBus(this.broker, host);
    const fence = new Fence();
    bus.serve(grantFunctions, [host], ({ leaderEpoch = 0 }) => {
      const fenced = fence.refuses(leaderEpoch, this.clock.now());
      const life = this.lease.written.find(({ revision }) => revision === leaderEpoch)?.value.life ?? "nobody";
      this.orders.push({ host, epoch: leaderEpoch, life, at: this.clock.now(), isObeyed: fenced === undefined });
      return { refused: [], ...(fenced !== undefined && { fenced }) };
    });
  }
}
