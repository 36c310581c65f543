/** The calls that a host has not finished yet, and the wait for their end. */
import type { Clock } from "../kit/ports.ts";
import type { HandedCalls } from "./handed.ts";
import type { NestedCalls } from "./nested-calls.ts";
import type { Runner } from "./runner.ts";
import type { Slots } from "./slots.ts";

export interface UnfinishedPorts {
  readonly clock: Clock;
  readonly runner: Runner;
  readonly slots: Slots;
  readonly handed: HandedCalls;
  readonly nested: NestedCalls;
}

export class Unfinished {
  readonly #ports: UnfinishedPorts;
  #emptied: (() => void) | undefined = undefined;

  constructor(ports: UnfinishedPorts) {
    this.#ports = ports;
  }

  /** Calls that run, wait, or were handed on and not taken. For those that were taken the keeper speaks once this host is gone. */
  get count(): number {
    const { runner, slots, handed, nested } = this.#ports;
    let queued = 0;
    for (const slot of slots.all()) queued += slot.queued;
    return runner.busy.size + runner.storing + queued + handed.waiting + nested.size;
  }

  /** Resolves when there is none, when `waitMs` have passed, or at `giveUp`. Legal once. */
  none(waitMs: number): Promise<void> {
    if (this.count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#ports.clock.after(waitMs, () => this.#emptied?.());
      this.#emptied = () => {
        timer.cancel();
        this.#emptied = undefined;
        resolve();
      };
    });
  }

  /** Looks whether that was the last; to be called after each call, and on ticks. */
  look(): void {
    if (this.#emptied && this.count === 0) this.#emptied();
  }

  /** Ends the wait of `none`, whatever is left. */
  giveUp(): void {
    this.#emptied?.();
  }
}
