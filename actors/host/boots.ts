/** Starting blank containers: the order to the sandbox, and the pauses after failures, which grow and are bounded. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Sandbox, SandboxedContainer } from "../instance/sandbox.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { Instance } from "./instance.ts";

export interface BootsPorts {
  readonly clock: Clock;
  readonly sandbox: Sandbox;
  booted(instance: Instance, box: SandboxedContainer): void;
  failed(instance: Instance, fault: Fault): void;
}

export class Boots {
  readonly #ports: BootsPorts;
  readonly #timers = new Set<Timer>();
  #count = 0;
  #closed = false;

  constructor(ports: BootsPorts) {
    this.#ports = ports;
  }

  /**
   * Boots one more container of the instance; `urgent` when a call waits for it. Others pause first: what made room for them is a
   * call that has just got its container, and starting processes at that moment would delay it.
   */
  start(instance: Instance, urgent: boolean): void {
    instance.booting++;
    if (urgent) this.#order(instance, true);
    else
      this.#after(
        LIMITS.bootPause.value,
        () => this.#order(instance, false),
        () => instance.booting--,
      );
  }

  #order(instance: Instance, urgent: boolean): void {
    if (instance.state === "draining" || instance.state === "gone") {
      instance.booting--;
      return;
    }
    const { id, runtime, memoryMb, network } = instance;
    const container = `${id}-${(this.#count++).toString(36)}`;
    this.#ports.sandbox.start({ instance: id, container, runtime, instanceMb: memoryMb, network }, urgent).then(
      (box) => {
        instance.booting--;
        this.#ports.booted(instance, box);
      },
      (error: unknown) => {
        instance.booting--;
        this.#ports.failed(instance, Fault.from(error));
      },
    );
  }

  /** Does something after the pause that so many failures in a row deserve. */
  afterFailures(failures: number, action: () => void): void {
    const ms = Math.min(LIMITS.bootRetryMax.value, LIMITS.bootRetryMin.value * 2 ** Math.min(Math.max(0, failures - 1), 16));
    this.#after(ms, action);
  }

  #after(ms: number, action: () => void, closed: () => void = () => undefined): void {
    const timer = this.#ports.clock.after(ms, () => {
      this.#timers.delete(timer);
      if (this.#closed) closed();
      else action();
    });
    this.#timers.add(timer);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}
