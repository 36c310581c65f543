/** Why a function needs a new container, told from the one it had before. */
import { LIMITS } from "../../../protocol/limits.ts";
import type { ColdCause } from "../../../protocol/vocabulary.ts";
import type { Fleet } from "../fleet.ts";
import type { KeptCall } from "./kept-call.ts";

export class ColdCauses {
  /** account.function → slot key of its last container, oldest first. At most LIMITS.absentNames. */
  readonly #last = new Map<string, string>();

  /** The cause of the container that is being ordered for the call. */
  of(call: KeptCall, fleet: Fleet): ColdCause {
    const { functionKey, key } = call;
    const before = this.#last.get(functionKey);
    this.#last.delete(functionKey);
    this.#last.set(functionKey, key);
    if (this.#last.size > LIMITS.absentNames.value) this.#last.delete(this.#last.keys().next().value as string);
    if (call.reason.endsWith("was lost")) return "host-lost";
    if (before === undefined) return "first";
    if (before !== key) return codeOf(before) === codeOf(key) ? "amount-changed" : "code-changed";
    return fleet.containers({ functionKey }) > 0 ? "scale-out" : "evicted";
  }
}

/** The slot key without the memory amount. */
function codeOf(key: string): string {
  return key.slice(0, key.lastIndexOf("@"));
}
