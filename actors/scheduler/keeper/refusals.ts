/** Who refused a call: it is asked again once it has announced something newer. */
import type { Rung } from "../../../protocol/vocabulary.ts";
import type { Fleet } from "../fleet.ts";

const NONE: ReadonlySet<string> = new Set();

export class Refusals {
  /** `host:rung` → number of the host's announcement of that moment. */
  #seen: Map<string, number> | undefined;

  note(host: string, rung: Rung, fleet: Fleet): void {
    this.#seen ??= new Map();
    this.#seen.set(`${host}:${rung}`, fleet.host(host)?.announcement.seq ?? -1);
  }

  /** Those that have not announced since, as `host:rung`. */
  standing(fleet: Fleet): ReadonlySet<string> {
    if (this.#seen === undefined) return NONE;
    const standing = new Set<string>();
    for (const [at, seq] of this.#seen) {
      const host = fleet.host(at.slice(0, at.lastIndexOf(":")));
      if (host !== undefined && host.announcement.seq === seq) standing.add(at);
    }
    return standing;
  }
}
