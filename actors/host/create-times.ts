/** How long each way of getting a container takes here, as moving averages in ms; announced, and used for admission. */
import type { Rung } from "../../protocol/vocabulary.ts";

export type CreatedRung = Exclude<Rung, "hot">;

/** Weight of the newest. */
const WEIGHT = 0.2;

export class CreateTimes {
  /** Until something was measured: what a prototype took. */
  readonly ms: Record<CreatedRung, number> = { cached: 5, own: 10, warm: 10, cold: 150 };

  took(rung: CreatedRung, ms: number): void {
    this.ms[rung] += (ms - this.ms[rung]) * WEIGHT;
  }
}
