/**
 * What versions load, as the host remembers it: immutable, so it is learned once, from an order that says it or from the
 * store, also by many calls at once.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { CallHead } from "../../protocol/messages/call.ts";
import type { VersionRecord } from "../../protocol/vocabulary.ts";
import type { CodeOf } from "./provision.ts";

export type ReadVersion = (account: string, name: string, version: number) => Promise<VersionRecord>;

export class Versions {
  readonly #read: ReadVersion;
  readonly #known = new Map<string, CodeOf>();
  readonly #asked = new Map<string, Promise<VersionRecord>>();

  constructor(read: ReadVersion) {
    this.#read = read;
  }

  /** What a call must load; a promise only when the record is not here yet. Rejects with the Fault of the reader. */
  codeOf(head: Pick<CallHead, "account" | "function" | "version" | "inline" | "code">): CodeOf | Promise<CodeOf> {
    if (head.inline) {
      const { digest, runtime, handler } = head.inline;
      return { digest, runtime, handler, environment: {}, network: false };
    }
    const key = `${head.account}.${head.function}.${head.version}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (head.code === undefined) return this.#ask(key, head.account, head.function, head.version);
    this.#keep(key, head.code);
    return head.code;
  }

  /** A function was removed: its version numbers may come to mean something else. */
  forget(account: string, name: string): void {
    const prefix = `${account}.${name}.`;
    for (const key of this.#known.keys()) if (key.startsWith(prefix)) this.#known.delete(key);
    for (const key of this.#asked.keys()) if (key.startsWith(prefix)) this.#asked.delete(key);
  }

  #ask(key: string, account: string, name: string, version: number): Promise<VersionRecord> {
    const asked = this.#asked.get(key);
    if (asked) return asked;
    const answer = this.#read(account, name, version).then(
      (record) => {
        if (this.#asked.get(key) === answer) {
          this.#asked.delete(key);
          this.#keep(key, record);
        }
        return record;
      },
      (error: unknown) => {
        this.#asked.delete(key);
        throw error;
      },
    );
    this.#asked.set(key, answer);
    return answer;
  }

  #keep(key: string, code: CodeOf): void {
    this.#known.set(key, code);
    if (this.#known.size <= LIMITS.versionsKept.value) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}
