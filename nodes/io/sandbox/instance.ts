/** An instance on this host: its place, its bodies, and its zygote when it has one. Exists from its first start to its removal. */
import { Fault } from "../../../protocol/errors.ts";
import type { Body } from "./body.ts";
import type { Place } from "./kind.ts";
import type { Zygote } from "./zygote.ts";

export class Instance {
  readonly place: Place;
  readonly slot: number;
  readonly instanceMb: number;
  readonly bodies = new Set<Body>();
  /** The boot of its zygote, shared by all who wait for it; forgotten when the zygote ends. */
  zygote: Promise<Zygote> | undefined;
  zygoteBoots = false;
  /** Starts under way; removal waits for them. */
  readonly starting = new Set<Promise<unknown>>();
  removal: Promise<void> | undefined;

  constructor(place: Place, slot: number, instanceMb: number) {
    this.place = place;
    this.slot = slot;
    this.instanceMb = instanceMb;
  }

  /** Counts a body among the instance's until it is gone. */
  add(body: Body): void {
    this.bodies.add(body);
    void body.gone.then(() => this.bodies.delete(body));
  }

  /** Throws BootFailed once its removal has begun. */
  mustStay(): void {
    if (this.removal !== undefined) throw new Fault("BootFailed", `Instance ${this.place.instance} is being removed.`);
  }
}
