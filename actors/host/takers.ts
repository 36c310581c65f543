/** The other hosts that have taken calls of this one: they are watched as long as one of their calls is not done. */
import { hostAnnouncement } from "../../protocol/messages/host.ts";
import type { Bus, Subscription } from "../kit/bus.ts";
import { type Member, Members } from "../kit/members.ts";
import type { Clock } from "../kit/ports.ts";

export class Takers {
  readonly #control: Bus;
  readonly #hosts: Members;
  readonly #watched = new Map<string, Subscription>();

  /** `onLost` is told once of each life of a host that is over. */
  constructor(control: Bus, clock: Clock, onLost: (host: Member) => void) {
    this.#control = control;
    this.#hosts = new Members(control, clock, onLost);
  }

  /** From now on its death is noticed. */
  watch(host: string, epoch: string): void {
    this.#hosts.heard({ id: host, epoch, draining: false });
    if (this.#watched.has(host)) return;
    const subscription = this.#control.hear(hostAnnouncement, [host], (said) => {
      this.#hosts.heard({ id: said.host, epoch: said.epoch, draining: said.draining });
    });
    this.#watched.set(host, subscription);
  }

  /** True when another life of that host has been heard since. */
  isOver(host: string, epoch: string): boolean {
    return this.#watched.has(host) && this.#hosts.has(host) && this.#hosts.epochOf(host) !== epoch;
  }

  /** Watches no others. */
  keepOnly(wanted: ReadonlySet<string>): void {
    for (const [host, subscription] of this.#watched) {
      if (wanted.has(host)) continue;
      this.#watched.delete(host);
      void subscription.stop();
    }
  }

  get size(): number {
    return this.#watched.size;
  }

  async close(): Promise<void> {
    this.#hosts.stop();
    await Promise.all([...this.#watched.values()].map((subscription) => subscription.stop()));
  }
}
