/**
 * Containers that are getting their code: limits are set, the code is sent, and the load is ended when it takes too long.
 * Each ends in exactly one of `loaded` (taken by the owner) or `failed`.
 */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { Container } from "./container.ts";
import type { Loader } from "./loader.ts";
import type { Provision } from "./provision.ts";

export interface LoadsPorts {
  readonly clock: Clock;
  readonly loader: Loader;
  /** The container did not get its code; it is of no use any more. */
  failed(container: Container, provision: Provision, fault: Fault, stack: string | undefined): void;
}

/** Cpu shares of a whole instance: with 1,024 MB, a container of 128 MB weighs as much as an ordinary process of the host. */
const WHOLE_INSTANCE = 8 * 1_024;

export class Loads {
  readonly #ports: LoadsPorts;
  readonly #loading = new Map<Container, { readonly provision: Provision; readonly timer: Timer }>();

  constructor(ports: LoadsPorts) {
    this.#ports = ports;
  }

  /** Gives a blank container to a slot. */
  begin(container: Container, provision: Provision): void {
    const { slot, code } = provision;
    container.state = "loading";
    container.slot = slot;
    container.rung = provision.told;
    container.coldCause = provision.coldCause;
    const timer = this.#ports.clock.after(LIMITS.load.value, () => {
      this.fail(
        container,
        new Fault("HandlerError", `the function took longer than ${LIMITS.load.value} ms to load`, { limit: "load" }),
        undefined,
      );
    });
    this.#loading.set(container, { provision, timer });
    // Cpu in the same ratio as memory (F060).
    const cpuShares = Math.max(2, Math.round((WHOLE_INSTANCE * slot.memoryMb) / container.instance.memoryMb));
    try {
      container.box.limit({ memoryMb: slot.memoryMb, cpuShares, processes: LIMITS.processes.value });
    } catch (error) {
      this.fail(
        container,
        new Fault("BootFailed", `the limits of the container could not be set: ${String(error)}`, undefined, error),
        undefined,
      );
      return;
    }
    this.#ports.loader
      .load(container, slot, code, () => this.#loading.has(container))
      .catch((error: unknown) => {
        const fault = Fault.from(error);
        this.fail(container, fault.name === "NotFound" ? new Fault("CodeUnavailable", fault.message) : fault, undefined);
      });
  }

  /** It has its code: what was being made, or undefined when that was given up meanwhile. */
  take(container: Container): Provision | undefined {
    const loading = this.#loading.get(container);
    this.#loading.delete(container);
    loading?.timer.cancel();
    return loading?.provision;
  }

  /** Gives the load up. Of no effect when it has ended. */
  fail(container: Container, fault: Fault, stack: string | undefined): void {
    const provision = this.take(container);
    if (provision) this.#ports.failed(container, provision, fault, stack);
  }
}
