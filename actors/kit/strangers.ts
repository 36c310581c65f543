/** Nodes whose protocol is too far from ours to be understood for certain: said once for each life of one, and worked with all the same. */
import { LIMITS } from "../../protocol/limits.ts";
import { PROTOCOL, understands } from "../../protocol/version.ts";
import type { Log } from "./ports.ts";

export class Strangers {
  readonly #log: Log;
  /** Id → the epoch that was complained of. */
  readonly #said = new Map<string, string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** A node announced itself. `protocol` undefined: it is of a release that did not say. */
  heard(id: string, epoch: string, protocol: number | undefined): void {
    if (understands(protocol) || this.#said.get(id) === epoch) return;
    this.#said.delete(id);
    this.#said.set(id, epoch);
    for (const oldest of this.#said.keys()) {
      if (this.#said.size <= LIMITS.lostHosts.value) break;
      this.#said.delete(oldest);
    }
    const detail = { node: id, theirs: protocol ?? 1, ours: PROTOCOL };
    this.#log.warn("a node is of a release too far from this one: what they say to each other may be refused", detail);
  }
}
