/**
 * The slots of a host by key; an empty one that nothing refers to is removed. That of a removed function keeps what it has until that is
 * over, and gets nothing more: the same version may come again with other code, and has a slot of its own.
 */
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
  /** Of removed functions. */
  readonly #over = new Set<Slot>();

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
    for (const slot of this.all()) if (slot.account === account && slot.function === name) sum += slot.containers;
    return sum;
  }

  /** Removes it when nothing is left of it. */
  release(slot: Slot): void {
    if (slot.containers > 0 || slot.queued > 0 || slot.grants > 0) return;
    if (slot.isOver) this.#over.delete(slot);
    else this.#slots.delete(slot.key);
  }

  /** Its function or account was removed: nothing new finds it. */
  retire(slot: Slot): void {
    if (slot.isOver) return;
    slot.isOver = true;
    this.#slots.delete(slot.key);
    this.#over.add(slot);
    this.release(slot);
  }

  *all(): IterableIterator<Slot> {
    yield* this.#slots.values();
    yield* this.#over;
  }
}
