/** What must be 0: lost, wrong and doubled, added up over all samples of a question; and the errors by name, for the notes. */
import type { Sample } from "./load.ts";

export interface Sum {
  /** Remembers a sample and returns it. */
  add(sample: Sample): Sample;
  readonly lost: number;
  /** Replies that were not the caller's own bytes: they belong to somebody else's call. */
  readonly wrong: number;
  /** One sentence per kind of error; empty when there was none. */
  notes(): string[];
}

export function sumUp(): Sum {
  let lost = 0;
  let wrong = 0;
  const failures = new Map<string, number>();
  return {
    add(sample) {
      lost += sample.lost;
      wrong += sample.wrong;
      for (const [name, count] of Object.entries(sample.failures)) failures.set(name, (failures.get(name) ?? 0) + count);
      return sample;
    },
    get lost() {
      return lost;
    },
    get wrong() {
      return wrong;
    },
    notes: () => [...failures].map(([name, count]) => `${count} calls failed with ${name}`),
  };
}
