/**
 * What the machines of one node went through lately: the last LIMITS.transitionsKept transitions of each, and the last few
 * machines that are over. A machine takes part when it is started with a watch of this record; it costs something at
 * transitions only, and nothing per call.
 */
import type { InspectionEvent } from "xstate";
import { LIMITS } from "../../protocol/limits.ts";
import type { Clock } from "./ports.ts";

export interface Transition {
  /** Ms since 1970. */
  readonly at: number;
  readonly from: string;
  readonly to: string;
  /** Type of the event that led from the one to the other. */
  readonly event: string;
  /** In words, where the event says it in its field `reason`. */
  readonly reason?: string;
}

/** One machine, as operators see it. */
export interface ActorView {
  /** Unique on its node: `host`, `instance/<id>`, `manager/busy`. */
  readonly id: string;
  /** Id of the machine's definition. */
  readonly machine: string;
  readonly state: string;
  /** When it came into that state, ms since 1970. */
  readonly since: number;
  /** It is over: in a final state, or failed. */
  readonly gone: boolean;
  /** Oldest first. */
  readonly transitions: readonly Transition[];
}

/** Ear of one machine, for `startActor`. */
export interface Watch {
  readonly seen: (event: InspectionEvent) => void;
  /** What one of its actions or guards threw, after which it hears nothing any more. */
  failed(error: unknown): void;
}

/** Longest reason that is kept, in characters. */
const REASON = 200;

interface Life {
  readonly id: string;
  machine: string;
  state: string;
  since: number;
  gone: boolean;
  readonly transitions: Transition[];
}

/** The machines of one node; a new kind of machine takes part by starting with `watch(id)`. */
export class Transitions {
  readonly #clock: Pick<Clock, "epoch">;
  readonly #living = new Map<string, Life>();
  readonly #gone: Life[] = [];

  constructor(clock: Pick<Clock, "epoch">) {
    this.#clock = clock;
  }

  /** A watch for a machine that is about to start under this id. One that had the id before counts as gone. */
  watch(id: string): Watch {
    const life: Life = { id, machine: "", state: "", since: this.#clock.epoch(), gone: false, transitions: [] };
    const before = this.#living.get(id);
    if (before !== undefined) this.#bury(before);
    this.#living.set(id, life);
    return { seen: (event) => this.#seen(life, event), failed: (error) => this.#failed(life, error) };
  }

  /** The living in the order in which they started, then those that are over, the last to go first. */
  views(): ActorView[] {
    return [...this.#living.values(), ...this.#gone.toReversed()].map(viewOf);
  }

  /** The living one of that id, else the last of the gone; undefined when neither is known. */
  find(id: string): ActorView | undefined {
    const life = this.#living.get(id) ?? this.#gone.findLast((gone) => gone.id === id);
    return life && viewOf(life);
  }

  #seen(life: Life, event: InspectionEvent): void {
    // Of a machine and what it may have invoked, only the machine itself.
    if (event.type !== "@xstate.snapshot" || event.actorRef.sessionId !== event.rootId) return;
    const snapshot = event.snapshot as { readonly status: string; readonly value?: unknown; readonly machine?: { readonly id: string } };
    const state = stateText(snapshot.value);
    if (life.machine === "") {
      life.machine = snapshot.machine?.id ?? "";
      life.state = state;
    } else if (state !== life.state) this.#moved(life, state, event.event.type, reasonOf(event.event));
    if (snapshot.status !== "active" && !life.gone) this.#bury(life);
  }

  #failed(life: Life, error: unknown): void {
    if (life.gone) return;
    this.#moved(life, "failed", "error", String(error).slice(0, REASON));
    this.#bury(life);
  }

  #moved(life: Life, to: string, event: string, reason: string | undefined): void {
    const at = this.#clock.epoch();
    life.transitions.push({ at, from: life.state, to, event, ...(reason !== undefined && { reason }) });
    if (life.transitions.length > LIMITS.transitionsKept.value) life.transitions.shift();
    life.state = to;
    life.since = at;
  }

  #bury(life: Life): void {
    life.gone = true;
    if (this.#living.get(life.id) === life) this.#living.delete(life.id);
    this.#gone.push(life);
    if (this.#gone.length > LIMITS.goneActors.value) this.#gone.shift();
  }
}

function reasonOf({ reason }: { readonly type: string; readonly reason?: unknown }): string | undefined {
  return typeof reason === "string" && reason !== "" ? reason.slice(0, REASON) : undefined;
}

/** `a`, or `a.b` for a state within a state; parallel ones with a comma. */
function stateText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return "";
  return Object.entries(value)
    .map(([name, inner]) => [name, stateText(inner)].filter((part) => part !== "").join("."))
    .join(",");
}

const viewOf = ({ id, machine, state, since, gone, transitions }: Life): ActorView => ({
  id,
  machine,
  state,
  since,
  gone,
  transitions: [...transitions],
});
