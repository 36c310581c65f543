/**
 * The Lease port in memory: records go by themselves when they are old, as in a bucket with a life, and revisions rise through everything.
 * What the store does to a request is up to the test.
 */
import type { Clock } from "../../actors/kit/ports.ts";
import type { Lease } from "../../actors/scheduler/manager/lease.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { LeaseRecord } from "../../protocol/vocabulary.ts";

interface Row {
  readonly value: LeaseRecord;
  readonly revision: number;
  readonly at: number;
}

/** What becomes of a request: it fails before it was done, is done and not answered, or is answered. */
export type Fate = "refused" | "unanswered" | "answered";

export class MemoryLease implements Lease {
  readonly #clock: Pick<Clock, "now">;
  readonly #rows = new Map<string, Row>();
  #revision = 0;
  /** Asked once per request. May be replaced, may wait. */
  fate: () => Fate | Promise<Fate> = () => "answered";
  /** Who wrote which revision, oldest first. */
  readonly written: { readonly value: LeaseRecord; readonly revision: number; readonly at: number }[] = [];

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** Who holds the lease now. */
  holder(of: string): Row | undefined {
    const row = this.#rows.get(of);
    return row !== undefined && this.#clock.now() - row.at < LIMITS.leaseLife.value ? row : undefined;
  }

  read(of: string) {
    return this.#done(() => {
      const row = this.holder(of);
      return row && { key: of, value: row.value, revision: row.revision };
    });
  }

  create(of: string, record: LeaseRecord): Promise<number> {
    return this.#done(() => this.#write(of, record, undefined));
  }

  update(of: string, record: LeaseRecord, revision: number): Promise<number> {
    return this.#done(() => this.#write(of, record, revision));
  }

  delete(of: string, revision: number): Promise<void> {
    return this.#done(() => {
      this.#expect(of, revision);
      this.#rows.delete(of);
      this.#revision++;
    });
  }

  #write(of: string, value: LeaseRecord, revision: number | undefined): number {
    this.#expect(of, revision);
    const row = { value, revision: ++this.#revision, at: this.#clock.now() };
    this.#rows.set(of, row);
    this.written.push(row);
    return row.revision;
  }

  #expect(of: string, revision: number | undefined): void {
    if (this.holder(of)?.revision !== revision) throw new Fault("Conflict", `the lease of ${of} was written by somebody else`);
  }

  async #done<R>(work: () => R): Promise<R> {
    const fate = await this.fate();
    if (fate === "refused") throw new Fault("Unavailable", "the store does not answer");
    const result = work();
    if (fate === "unanswered") throw new Fault("Unavailable", "no answer in time");
    return result;
  }
}
