/** The making of one container for a slot: what is wanted, why, and who is told. */
import type { Fault } from "../../protocol/errors.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { ColdCause, Rung } from "../../protocol/vocabulary.ts";
import type { Container } from "./container.ts";
import type { Slot } from "./slot.ts";

/** Code as a container must load it. */
export interface CodeOf {
  readonly digest: string;
  readonly runtime: RuntimeName;
  readonly handler: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly network: boolean;
}

export interface Provision {
  readonly slot: Slot;
  readonly code: CodeOf;
  /** How it is made. */
  readonly rung: Rung;
  /** What its first call is told: `hot` when it was readied before any call. */
  readonly told: Rung;
  readonly coldCause: ColdCause | undefined;
  /** Monotonic: when it was asked for. */
  readonly askedAt: number;
  /** It found no spare and waits for a boot. */
  boots: boolean;
  /** Boots that failed for it. */
  attempts: number;
  /** Told once, besides the slot: for `provision` requests. */
  readonly ready?: ((container: Container) => void) | undefined;
  readonly failed?: ((fault: Fault) => void) | undefined;
}
