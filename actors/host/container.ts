/**
 * One container as the host sees it. Turns frames into words, and anything that is no proper frame of this moment into
 * a violation, which ends the container.
 */
import { FRAME, type Thrown } from "../../protocol/frames.ts";
import type { ColdCause, Rung } from "../../protocol/vocabulary.ts";
import type { ContainerListener, EndCause, IncomingFrame, SandboxedContainer } from "../instance/sandbox.ts";
import type { Call } from "./call.ts";
import type { Instance } from "./instance.ts";
import type { Fetch } from "./large-bodies.ts";
import type { Slot } from "./slot.ts";

export type ContainerState = "spare" | "loading" | "idle" | "busy" | "ended";

/** Who hears of containers. Payloads are views. */
export interface ContainerOwner {
  loaded(container: Container, cachedData: Uint8Array): void;
  loadFailed(container: Container, thrown: Thrown): void;
  result(container: Container, payload: Uint8Array): void;
  failed(container: Container, isBadResult: boolean, thrown: Thrown): void;
  /** A call that had been sent ahead comes back unbegun. */
  givenBack(container: Container, number: number): void;
  output(container: Container, frame: IncomingFrame): void;
  request(container: Container, frame: IncomingFrame): void;
  /** A frame that makes no sense at this moment. */
  violated(container: Container, what: string): void;
  /** A frame about a call that has ended: of no use, and no crime. */
  late(container: Container): void;
  ended(container: Container, cause: EndCause, output: string): void;
}

/** A call that was sent into a busy container. */
export interface AheadCall {
  readonly call: Call;
  /** In frames. */
  readonly number: number;
}

const decoder = new TextDecoder();

export class Container implements ContainerListener {
  readonly box: SandboxedContainer;
  readonly instance: Instance;
  state: ContainerState = "spare";
  slot: Slot | undefined = undefined;
  /** How its first call was placed; later ones are hot. */
  rung: Rung = "hot";
  coldCause: ColdCause | undefined = undefined;
  call: Call | undefined = undefined;
  /** Number of the running or last call in frames. */
  number = 0;
  /** Calls that were sent behind the running one, in order. None of them has begun. */
  readonly ahead: AheadCall[] = [];
  /** The calls ahead were asked back. */
  takingBack = false;
  /** Calls it has finished. */
  calls = 0;
  /** The last call, for output that comes after its result. */
  last: Call | undefined = undefined;
  /** Monotonic: when the running call must end. */
  deadline = Number.POSITIVE_INFINITY;
  /** Monotonic. */
  idleSince = 0;
  /** Monotonic: when the running call was sent. */
  startedAt = 0;
  /** What the last run took by the runtime's own account, in microseconds; -1 where it did not say. */
  insideUs = -1;
  /** cpu time at the start of the running call, when it is measured. */
  cpuAtStart = -1;
  requests = 0;
  /** The large body of the running call: on its way from the store until the call has `begun`, then into the container. */
  large: { readonly fetch: Fetch; begun: boolean; isWritten: boolean } | undefined = undefined;
  readonly #owner: ContainerOwner;
  #numbers = 0;

  constructor(box: SandboxedContainer, instance: Instance, owner: ContainerOwner) {
    this.box = box;
    this.instance = instance;
    this.#owner = owner;
  }

  get id(): string {
    return this.box.id;
  }

  nextNumber(): number {
    this.#numbers = this.#numbers === 0xffffffff ? 1 : this.#numbers + 1;
    return this.#numbers;
  }

  frame(frame: IncomingFrame): void {
    if (this.state === "ended") return;
    switch (frame.type) {
      case FRAME.result:
        if (this.call === undefined || frame.id !== this.number) this.#owner.late(this);
        else {
          const { extra } = frame;
          this.insideUs =
            extra.length === 4 ? (((extra[0] ?? 0) << 24) | ((extra[1] ?? 0) << 16) | ((extra[2] ?? 0) << 8) | (extra[3] ?? 0)) >>> 0 : -1;
          this.#owner.result(this, frame.payload);
        }
        return;
      case FRAME.log:
        this.#owner.output(this, frame);
        return;
      case FRAME.request:
        this.#owner.request(this, frame);
        return;
      case FRAME.failed:
        if (this.call === undefined || frame.id !== this.number) this.#owner.late(this);
        else this.#owner.failed(this, frame.flags === 1, readThrown(frame.extra));
        return;
      case FRAME.givenBack:
        this.#owner.givenBack(this, frame.id);
        return;
      case FRAME.loaded:
        if (this.state === "loading") this.#owner.loaded(this, frame.payload);
        else this.#owner.violated(this, "it said that code was loaded which nobody had given it");
        return;
      case FRAME.loadFailed:
        if (this.state === "loading") this.#owner.loadFailed(this, readThrown(frame.extra));
        else this.#owner.violated(this, "it said that code could not be loaded which nobody had given it");
        return;
      case FRAME.ready:
        return;
      default:
        this.#owner.violated(this, `it sent a frame of the unknown type ${frame.type}`);
    }
  }

  ended(cause: EndCause, output: string): void {
    if (this.state === "ended") return;
    this.#owner.ended(this, cause, output);
  }
}

/** What a container says of an exception is the function's own text: only its form is believed. */
function readThrown(extra: Uint8Array): Thrown {
  try {
    const { type, message, stack } = JSON.parse(decoder.decode(extra)) as Record<string, unknown>;
    return {
      type: typeof type === "string" ? type : "Error",
      message: typeof message === "string" ? message : "",
      ...(typeof stack === "string" && { stack }),
    };
  } catch {
    return { type: "Error", message: "the function failed, and what it said of it cannot be read" };
  }
}
