/**
 * A clock that a test moves by hand. Serves actors (the Clock port) and xstate (`createActor(machine, { clock })`).
 *
 * M1  Timers fire in order of their due time, those of one instant in the order they were set, each at exactly its time.
 * M2  Between two timers everything settles: promises, deliveries of the memory bus, and what was asked for `soon`.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Clock, Timer } from "../../actors/kit/ports.ts";

interface Entry {
  due: number;
  order: number;
  readonly action: () => void;
  readonly every: number | undefined;
  cancelled: boolean;
}

/** Most actions that one `settle` runs; more is a loop that never rests, which would hang the test. */
const RESTLESS = 1_000_000;

export class ManualClock implements Clock {
  #now = 0;
  #count = 0;
  readonly #startedAt: number;
  /** Sorted by due time, then order; cancelled ones stay until they come up. */
  readonly #entries: Entry[] = [];
  #soon: (() => void)[] = [];

  /** `startedAt`: ms since 1970 at now() = 0. */
  constructor(startedAt = 1_700_000_000_000) {
    this.#startedAt = startedAt;
  }

  now(): number {
    return this.#now;
  }

  epoch(): number {
    return this.#startedAt + this.#now;
  }

  after(ms: number, action: () => void): Timer {
    return this.#timer(ms, action, undefined);
  }

  every(ms: number, action: () => void): Timer {
    if (!(ms > 0)) throw new RangeError(`every ${ms} ms would never end`);
    return this.#timer(ms, action, ms);
  }

  /** Queued until the next `settle` or `advance`. */
  soon(action: () => void): void {
    this.#soon.push(action);
  }

  /** For xstate. */
  setTimeout(action: () => void, ms: number): Timer {
    return this.after(ms, action);
  }

  /** For xstate. */
  clearTimeout(timer: Timer | undefined): void {
    timer?.cancel();
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#entries.filter((entry) => !entry.cancelled).length;
  }

  /** Runs promises, deliveries and `soon` actions until nothing is left; the time stays. */
  async settle(): Promise<void> {
    for (let ran = 0; ; ) {
      await turn(); // every promise that can go on has gone on by now
      if (this.#soon.length === 0) return;
      const actions = this.#soon;
      this.#soon = [];
      ran += actions.length;
      if (ran > RESTLESS) throw new Error("settle: actions keep asking for more actions");
      for (const action of actions) action();
    }
  }

  /** Moves the time by `ms`, stopping at each due timer. */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    await this.settle();
    for (let entry = this.#takeDue(target); entry; entry = this.#takeDue(target)) {
      this.#now = entry.due;
      this.#fire(entry);
      await this.settle();
    }
    this.#now = target;
  }

  /** Moves the time by `ms` as a stopped process sees it: nothing runs meanwhile, then every due timer fires late. */
  async stall(ms: number): Promise<void> {
    const target = this.#now + ms;
    this.#now = target;
    for (let entry = this.#takeDue(target); entry; entry = this.#takeDue(target)) {
      entry.due = target; // a repeating timer goes on from here, as a real one does
      this.#fire(entry);
      await this.settle();
    }
    await this.settle();
  }

  #timer(ms: number, action: () => void, every: number | undefined): Timer {
    const entry: Entry = { due: this.#now + Math.max(0, ms), order: this.#count++, action, every, cancelled: false };
    this.#insert(entry);
    return {
      cancel: () => {
        entry.cancelled = true;
      },
    };
  }

  #insert(entry: Entry): void {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#entries[middle] as Entry;
      if (other.due < entry.due || (other.due === entry.due && other.order < entry.order)) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, entry);
  }

  #takeDue(target: number): Entry | undefined {
    for (let first = this.#entries[0]; first && (first.cancelled || first.due <= target); first = this.#entries[0]) {
      this.#entries.shift();
      if (!first.cancelled) return first;
    }
    return undefined;
  }

  #fire(entry: Entry): void {
    entry.action();
    if (entry.every === undefined || entry.cancelled) return;
    entry.due += entry.every;
    entry.order = this.#count++;
    this.#insert(entry);
  }
}
