/** Gets code into a container: by frame when it is small, as a file in its instance's own directory when it is large. */
import { FRAME, type LoadExtra } from "../../protocol/frames.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { CodeCache } from "./code.ts";
import type { Container } from "./container.ts";
import type { CodeOf } from "./provision.ts";
import type { Slot } from "./slot.ts";

const encoder = new TextEncoder();
const NOTHING = new Uint8Array(0);

export class Loader {
  readonly #cache: CodeCache;

  constructor(cache: CodeCache) {
    this.#cache = cache;
  }

  /** Sends the `load` frame. Rejects with CodeUnavailable or NotFound; `isWanted` is asked again after each wait. */
  async load(container: Container, slot: Slot, code: CodeOf, isWanted: () => boolean): Promise<void> {
    const taken = await this.#cache.take(code.digest);
    try {
      const cached = (await this.#cache.cached(code.digest, slot.account)) ?? NOTHING;
      if (!isWanted()) return;
      const order: LoadExtra = {
        account: slot.account,
        function: slot.function,
        version: slot.version,
        memoryMb: slot.memoryMb,
        handler: code.handler,
        environment: code.environment,
        cachedBytes: cached.length,
      };
      const small = taken.bytes !== undefined && (taken.size <= LIMITS.codeSmall.value || taken.path === undefined);
      if (small && taken.bytes !== undefined) {
        container.box.send(FRAME.load, 0, 0, encoder.encode(JSON.stringify(order)), join(cached, taken.bytes));
        return;
      }
      const file = await container.box.deliver(taken.path ?? "", code.digest);
      if (!isWanted()) return;
      container.box.send(FRAME.load, 0, 0, encoder.encode(JSON.stringify({ ...order, file })), cached);
    } finally {
      taken.release();
    }
  }

  /** Keeps the cached data that a container made, for the same account's next one. */
  keep(slot: Slot, code: CodeOf, data: Uint8Array, onFailure: (error: unknown) => void): void {
    this.#cache.keepCached(code.digest, slot.account, data.slice()).catch(onFailure);
  }
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
