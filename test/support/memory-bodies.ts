/** The store of large bodies in memory, as frontends see it (`this`) and as hosts do (`whole`). */
import type { BodyStore, PartStore } from "../../actors/kit/body-store.ts";
import { readBody, writeBody } from "../../nodes/io/body-parts.ts";
import { Fault } from "../../protocol/errors.ts";

export class MemoryBodies implements PartStore {
  /** By account.id.part; removed ones are empty. */
  readonly parts = new Map<string, Uint8Array>();
  /** Set to make every step wait. */
  gate: Promise<void> | undefined;
  readonly whole: BodyStore = {
    read: (account, ref, signal) => readBody(this.#carrier(account), ref, { signal }),
    write: (account, bytes, signal) => writeBody(this.#carrier(account), bytes, { signal }),
    drop: (account, { id, parts }) => void this.drop(account, id, parts),
  };

  async put(account: string, id: string, part: number, bytes: Uint8Array): Promise<void> {
    await this.gate;
    const key = `${account}.${id}.${part}`;
    const there = this.parts.get(key);
    if (there !== undefined && Buffer.compare(there, bytes) !== 0) throw new Fault("Conflict", "stored before");
    this.parts.set(key, bytes.slice());
  }

  async get(account: string, id: string, part: number): Promise<Uint8Array> {
    await this.gate;
    const bytes = this.parts.get(`${account}.${id}.${part}`);
    if (bytes === undefined || bytes.length === 0) throw new Fault("BodyUnavailable", "not there");
    return bytes;
  }

  async drop(account: string, id: string, parts: number): Promise<void> {
    for (let part = 0; part < parts; part++) {
      const key = `${account}.${id}.${part}`;
      if (this.parts.has(key)) this.parts.set(key, new Uint8Array());
    }
  }

  #carrier(account: string) {
    return {
      put: (id: string, part: number, bytes: Uint8Array) => this.put(account, id, part, bytes),
      get: (id: string, part: number) => this.get(account, id, part),
    };
  }
}
