/**
 * The waiting room of one function: calls in order, drawn round-robin over their sources, so that one that sends
 * many does not keep out another that sends one. Bounded by LIMITS.waitingCalls.
 */
export class WaitingRoom<T> {
  readonly #bySource = new Map<string, T[]>();
  /** Sources in the order in which they are drawn next. */
  readonly #turn: string[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The call that is drawn next. */
  get first(): T | undefined {
    const [source] = this.#turn;
    return source === undefined ? undefined : this.#bySource.get(source)?.[0];
  }

  add(source: string, item: T): void {
    const queue = this.#bySource.get(source);
    if (queue === undefined) {
      this.#bySource.set(source, [item]);
      this.#turn.push(source);
    } else queue.push(item);
    this.#size++;
  }

  /** Puts back what was drawn and found no place: it is the next again. */
  putBack(source: string, item: T): void {
    const queue = this.#bySource.get(source);
    if (queue === undefined) this.#bySource.set(source, [item]);
    else queue.unshift(item);
    const at = this.#turn.indexOf(source);
    if (at >= 0) this.#turn.splice(at, 1);
    this.#turn.unshift(source);
    this.#size++;
  }

  /** The next call and its source, or undefined when nobody waits. */
  draw(): { readonly source: string; readonly item: T } | undefined {
    const source = this.#turn.shift();
    if (source === undefined) return undefined;
    const queue = this.#bySource.get(source) ?? [];
    const item = queue.shift() as T;
    if (queue.length === 0) this.#bySource.delete(source);
    else this.#turn.push(source);
    this.#size--;
    return { source, item };
  }

  /** Takes out all that match. */
  remove(matches: (item: T) => boolean): T[] {
    const removed: T[] = [];
    for (const [source, queue] of this.#bySource) {
      const kept = queue.filter((item) => {
        if (!matches(item)) return true;
        removed.push(item);
        return false;
      });
      if (kept.length === queue.length) continue;
      if (kept.length > 0) this.#bySource.set(source, kept);
      else {
        this.#bySource.delete(source);
        this.#turn.splice(this.#turn.indexOf(source), 1);
      }
    }
    this.#size -= removed.length;
    return removed;
  }
}
