/**
 * Which functions are this scheduler's to keep, and whether it knows all that is on order for them.
 *
 * K6  A keeper holds no call of a function that is another scheduler's by now: two that order containers of one function
 *     would not see each other's orders.
 * K7  A new keeper makes containers near a cap only once everything that was ordered before it has shown itself: it has
 *     heard every node whom others count among the living, or as much time has passed as makes a silent one lost. It is new
 *     when it began, came back after an absence, or took over from one that drains; one that was declared lost has been
 *     silent for long enough.
 */
import { LIMITS } from "../../../protocol/limits.ts";
import type { Members } from "../../kit/members.ts";
import type { Clock } from "../../kit/ports.ts";
import { rendezvous } from "../../kit/rendezvous.ts";

export interface TenurePorts {
  readonly clock: Clock;
  readonly hosts: Members;
  readonly frontends: Members;
  readonly schedulers: Members;
  readonly node: string;
  /** True while every host that is known has been heard from its first announcement on: nobody has ordered of it before. */
  isFleetYoung(): boolean;
}

/** How many hosts and schedulers another node counts among the living. */
export interface Told {
  readonly hosts?: number | undefined;
  readonly schedulers?: number | undefined;
}

/** Something after which others' orders may be on their way. */
interface Change {
  readonly at: number;
  /** Who kept functions before; `anybody`: this scheduler was away; `nobody`: unless a host is older than this scheduler. */
  readonly before: readonly string[] | "anybody" | "nobody";
}

/** After this time everybody has been heard, or is silent; ms. */
export const HEARD_MS = LIMITS.nodeHeartbeat.value + 5 * LIMITS.announceEvery.value;
/** How much older a sign of life may look than it is. */
const BLUR_MS = 100;
const LOOK_MS = 20;

export class Tenure {
  readonly #ports: TenurePorts;
  #ids: readonly string[] = [];
  #changes: readonly Change[];
  #lookedAt = Number.NEGATIVE_INFINITY;
  #beganAt: number;
  /** By node. */
  readonly #told = new Map<string, Told>();

  constructor(ports: TenurePorts) {
    this.#ports = ports;
    this.#beganAt = ports.clock.now();
    this.#changes = [{ at: this.#beganAt, before: "nobody" }];
  }

  /** To be called whenever a scheduler was heard or lost. True when other functions are this scheduler's now. */
  look(): boolean {
    const { clock, schedulers } = this.#ports;
    const taking = schedulers.ids(true);
    // Where all are leaving, each keeps what it has.
    const ids = taking.length > 0 ? taking : schedulers.ids();
    const before = this.#ids;
    if (ids.length === before.length && ids.every((id, at) => id === before[at])) return false;
    this.#ids = ids;
    if (before.some((id) => !ids.includes(id) && schedulers.has(id))) this.#changes = [...this.#changes, { at: clock.now(), before }];
    return true;
  }

  /** A frontend or scheduler has said whom it counts among the living. */
  told(node: string, counts: Told): void {
    this.#told.set(node, counts);
  }

  /** A frontend or scheduler is lost. */
  forget(node: string): void {
    this.#told.delete(node);
  }

  /** It was away for so long that it may have been declared lost, and is back. */
  returned(): void {
    this.#beganAt = this.#ports.clock.now();
    this.#changes = [{ at: this.#beganAt, before: "anybody" }];
    this.#told.clear();
  }

  /** True when every host is known that was there before this scheduler: since it began, or came back. */
  knowsFleet(): boolean {
    if (this.#ports.clock.now() - this.#beganAt >= HEARD_MS) return true;
    return this.#told.size > 0 && this.#ports.isFleetYoung() && this.#knowsAll();
  }

  /** Schedulers that keep functions beside this one: each of them may be ordering containers of the same account. */
  get others(): number {
    return this.#ids.length - (this.#ids.includes(this.#ports.node) ? 1 : 0);
  }

  /** Whose the function (account.function) is to keep. */
  keeperOf(functionKey: string): string {
    return rendezvous(functionKey, this.#ids) ?? this.#ports.node;
  }

  /** True when the function (account.function) is this scheduler's to keep. */
  keeps(functionKey: string): boolean {
    return this.keeperOf(functionKey) === this.#ports.node;
  }

  /** True when no container of the function (account.function) can be on order that this keeper does not know of. */
  isSettled(functionKey: string): boolean {
    if (this.#changes.length === 0) return true;
    const now = this.#ports.clock.now();
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lookedAt = now;
      this.#changes = this.#changes.filter((change) => !this.#isOver(change, now));
    }
    const { node, isFleetYoung } = this.#ports;
    return this.#changes.every(({ before }) => {
      if (before === "anybody") return false;
      return before === "nobody" ? isFleetYoung() && this.#knowsAll() : rendezvous(functionKey, before) === node;
    });
  }

  #isOver({ at }: Change, now: number): boolean {
    const { hosts, frontends, schedulers, node } = this.#ports;
    const passed = now - at;
    if (passed >= LIMITS.hostSilence.value) return true;
    if (passed < HEARD_MS) return false;
    const isHeard = (members: Members) => members.ids().every((id) => id === node || members.silence(id) + BLUR_MS < passed);
    return this.#knowsAll() && [hosts, frontends, schedulers].every(isHeard);
  }

  /** True when nobody counts more among the living than are known here. */
  #knowsAll(): boolean {
    const { hosts, schedulers } = this.#ports;
    for (const told of this.#told.values()) if ((told.hosts ?? 0) > hosts.size || (told.schedulers ?? 0) > schedulers.size) return false;
    return true;
  }
}
