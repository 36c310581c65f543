/** The slots of a host by key; an empty one that nothing refers to is removed. */
import { slotKey } from "../../protocol/names.ts";
import type { Functions } from "./functions.ts";
import { type QueueBytes, Slot } from "./slot.ts";

export interface SlotOf {
  readonly account: string;
  readonly function: string;
  readonly version: number;
  readonly memoryMb: number;
  readonly keepAliveMs: number;
  /** For inline code. */
  readonly digest?: string | undefined;
}

export class Slots {
  readonly bytes: QueueBytes = { used: 0 };
  readonly #functions: Functions;
  readonly #slots = new Map<string, Slot>();

  constructor(functions: Functions) {
    this.#functions = functions;
  }

  find(key: string): Slot | undefined {
    return this.#slots.get(key);
  }

  /** The slot, made when there is none; the newest keep-alive holds. */
  of(what: SlotOf): Slot {
    const version = what.digest ?? what.version;
    const key = slotKey(what.account, what.function, version, what.memoryMb);
    const known = this.#slots.get(key);
    if (known) {
      known.keepAliveMs = what.keepAliveMs;
      return known;
    }
    const slot = new Slot({
      key,
      codeKey: `${what.account}.${what.function}.${version}`,
      account: what.account,
      function: what.function,
      version: what.version,
      memoryMb: what.memoryMb,
      keepAliveMs: what.keepAliveMs,
      stats: this.#functions.of(what.account, what.function, what.version),
      bytes: this.bytes,
    });
    this.#slots.set(key, slot);
    return slot;
  }

  /** Containers of a function here, of all versions and sizes. */
  containersOf(account: string, name: string): number {
    let sum = 0;
    for (const slot of this.#slots.values()) if (slot.account === account && slot.function === name) sum += slot.containers;
    return sum;
  }

  /** Removes it when nothing is left of it. */
  release(slot: Slot): void {
    if (slot.containers === 0 && slot.queued === 0 && slot.grants === 0) this.#slots.delete(slot.key);
  }

  all(): IterableIterator<Slot> {
    return this.#slots.values();
  }
}
