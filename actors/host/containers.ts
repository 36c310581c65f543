/**
 * The containers of a host's instances, from the moment their boxes have booted: each gets its code, serves one slot, and ends.
 *
 * I3  A container that ended, failed to load or timed out is never used again: `#forget` takes it from its instance, and
 *     `#takeOut` from its slot too, before anybody is told.
 */
import { Fault } from "../../protocol/errors.ts";
import type { Thrown } from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { EndCause, IncomingFrame, SandboxedContainer } from "../instance/sandbox.ts";
import type { Clock, Log } from "../kit/ports.ts";
import { made, release } from "./amounts.ts";
import { Container, type ContainerOwner } from "./container.ts";
import type { Counters } from "./counters.ts";
import type { CreateTimes } from "./create-times.ts";
import { faultOfEnd } from "./ends.ts";
import type { Instance } from "./instance.ts";
import type { Loader } from "./loader.ts";
import { Loads } from "./loads.ts";
import type { Provision } from "./provision.ts";
import type { Slot } from "./slot.ts";

/** Told what becomes of containers. */
export interface ContainersOwner extends Pick<ContainerOwner, "result" | "failed" | "givenBack" | "output" | "request" | "late"> {
  /** Something to announce. */
  changed(instance: Instance): void;
  /** A container has its code: it is free for its slot's next call. */
  ready(container: Container): void;
  /** A container of a slot ended, idle or in the middle of a call. */
  lost(container: Container, slot: Slot, fault: Fault): void;
}

export interface ContainersPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly loader: Loader;
  readonly counters: Counters;
  readonly times: CreateTimes;
  /** What was promised did not come to be, and counts still. */
  unmade(instance: Instance, provision: Provision, fault: Fault, stack: string | undefined): void;
  /** A container of a slot left its instance: that may be unused now, or have room. */
  left(instance: Instance): void;
  /** A container that was nobody's yet ended by itself. */
  spareLost(instance: Instance): void;
}

export class Containers implements ContainerOwner {
  readonly #ports: ContainersPorts;
  readonly #owner: ContainersOwner;
  readonly #loads: Loads;

  constructor(ports: ContainersPorts, owner: ContainersOwner) {
    this.#ports = ports;
    this.#owner = owner;
    this.#loads = new Loads({
      clock: ports.clock,
      loader: ports.loader,
      failed: (container, provision, fault, stack) => {
        this.retire(container);
        ports.unmade(container.instance, provision, fault, stack);
      },
    });
  }

  /** A blank container around a box that has just booted. It is on no list yet. */
  blank(box: SandboxedContainer, instance: Instance): Container {
    const container = new Container(box, instance, this);
    box.listen(container);
    return container;
  }

  /** Gives a blank container its code; it ends as `ready` or as `unmade`. */
  load(container: Container, provision: Provision): void {
    this.#loads.begin(container, provision);
  }

  /** Ends a container that serves no slot. */
  retire(container: Container): void {
    this.#forget(container);
    this.#stop(container);
  }

  /** Takes a container out of its slot and stops it. */
  discard(container: Container): void {
    this.#takeOut(container);
    this.#stop(container);
  }

  // from containers

  loaded(container: Container, cachedData: Uint8Array): void {
    const provision = this.#loads.take(container);
    if (!provision) return;
    const { clock, counters, loader, log, times } = this.#ports;
    if (cachedData.length > 0) {
      loader.keep(provision.slot, provision.code, cachedData, (error) => {
        counters.add("cachedData.refused");
        log.debug("cached data was not kept", { error: String(error) });
      });
    }
    remember(container.instance.code, provision.slot.codeKey);
    // Without a spare every rung costs a boot: that says nothing of what the rung costs with one.
    if (provision.rung !== "hot") times.took(provision.boots ? "cold" : provision.rung, clock.now() - provision.askedAt);
    made(provision);
    this.#owner.changed(container.instance);
    provision.ready?.(container);
    this.#owner.ready(container);
  }

  loadFailed(container: Container, thrown: Thrown): void {
    const said = thrown.message === "" ? thrown.type : `${thrown.type}: ${thrown.message}`;
    this.#loads.fail(container, new Fault("HandlerError", `the function could not be loaded: ${said}`), thrown.stack);
  }

  violated(container: Container, what: string): void {
    this.#ports.counters.add("frames.refused");
    const fault = new Fault("Crashed", `the function's container broke the rules of its channel and was ended: ${what}`);
    this.#ended(container, fault);
    this.#stop(container);
  }

  ended(container: Container, cause: EndCause, output: string): void {
    this.#ended(container, faultOfEnd(cause, output, container.slot?.memoryMb ?? container.instance.memoryMb));
  }

  result(container: Container, payload: Uint8Array): void {
    this.#owner.result(container, payload);
  }
  failed(container: Container, isBadResult: boolean, thrown: Thrown): void {
    this.#owner.failed(container, isBadResult, thrown);
  }
  output(container: Container, frame: IncomingFrame): void {
    this.#owner.output(container, frame);
  }
  request(container: Container, frame: IncomingFrame): void {
    this.#owner.request(container, frame);
  }
  givenBack(container: Container, number: number): void {
    this.#owner.givenBack(container, number);
  }
  late(container: Container): void {
    this.#owner.late(container);
  }

  // ends

  #ended(container: Container, fault: Fault): void {
    if (container.state === "ended") return;
    if (container.state === "loading") {
      this.#loads.fail(
        container,
        fault.name === "Crashed" ? new Fault("HandlerError", `the function could not be loaded: ${fault.message}`) : fault,
        undefined,
      );
      return;
    }
    if (container.slot) {
      this.#takeOut(container, fault);
      return;
    }
    const { instance } = container;
    this.#forget(container);
    if (instance.state === "draining" || instance.state === "gone") return;
    // Of no account's doing.
    this.#ports.counters.add("spare.lost");
    this.#owner.changed(instance);
    this.#ports.spareLost(instance);
  }

  /** Takes a container out of its slot, which hears of it when a call is lost with it or it ended by itself. */
  #takeOut(container: Container, fault?: Fault): void {
    const { slot, instance } = container;
    if (container.state === "ended" || !slot) return;
    const wasBusy = container.state === "busy";
    this.#forget(container);
    release(instance, slot);
    slot.forgetIdle(container);
    slot.busy.delete(container);
    if (wasBusy || fault) this.#owner.lost(container, slot, fault ?? new Fault("InstanceLost", "the container was ended"));
    this.#owner.changed(instance);
    this.#ports.left(instance);
  }

  #forget(container: Container): void {
    container.state = "ended";
    const { instance } = container;
    instance.containers.delete(container);
    const at = instance.spares.indexOf(container);
    if (at >= 0) instance.spares.splice(at, 1);
  }

  #stop(container: Container): void {
    container.box
      .stop()
      .catch((error: unknown) => this.#ports.log.warn("a container did not stop", { container: container.id, error: String(error) }));
  }
}

function remember(keys: Set<string>, key: string): void {
  keys.delete(key);
  keys.add(key);
  if (keys.size > LIMITS.codeKeys.value) {
    for (const oldest of keys) {
      keys.delete(oldest);
      return;
    }
  }
}
