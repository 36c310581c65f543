/**
 * What was asked of the platform and what came of it: each call with where it went, its runs and its replies, and each
 * change of a function's live alias with when it was begun, written and confirmed.
 */

import { SUBJECT } from "../../protocol/subjects.ts";
import type { FakeContext, FakeProgram } from "../../runtimes/fake/program.ts";
import type { Packet } from "../support/memory-broker.ts";
import { failureOf } from "./reply.ts";
import type { World } from "./world.ts";

/** What a call's body tells the function to do. */
export type Doing = "return" | "throw" | "sleep" | "hang" | "crash" | "hungry";

export interface SimulatedCall {
  readonly n: number;
  readonly name: string;
  readonly qualifier: string | undefined;
  readonly idempotent: boolean;
  /** A running function made it; whether it hears the answer is told by its own call. */
  readonly isNested: boolean;
  readonly sentAt: number;
  readonly doing: Doing;
  /** Where the broker delivered it: connections, in order, with the subject and when. */
  readonly went: { readonly to: string; readonly subject: string; readonly at: number }[];
  readonly runs: { readonly version: number; readonly at: number; readonly id: string }[];
  readonly replies: { readonly error: string | undefined; readonly message: string; readonly at: number }[];
}

/** A change of where the live alias of a function points. */
export interface Change {
  readonly name: string;
  /** Versions it points at from then on; undefined while that is not known. */
  versions: ReadonlySet<number> | undefined;
  readonly begunAt: number;
  /** When it was returned with every node's confirmation; infinite if it was not. */
  confirmedAt: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class Ledger {
  readonly calls: SimulatedCall[] = [];
  readonly changes: Change[] = [];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    world.caller.listen("_INBOX.c.*", {}, (message) => {
      const call = this.calls[Number(message.subject.slice("_INBOX.c.".length))];
      call?.replies.push({ ...failureOf(message), at: world.clock.now() });
    });
    world.watchers.push((packet, to) => this.#passed(packet, to));
  }

  /** Calls a function, as `account.name`. */
  call(
    name: string,
    doing: Doing,
    ms: number,
    options: {
      readonly qualifier?: string;
      readonly idempotent: boolean;
      readonly headers?: Record<string, string>;
      readonly bytes?: number;
      /** The function calls that one, of its own account, before it does anything. */
      readonly inner?: string;
    },
  ): SimulatedCall {
    const call = this.#open(name, doing, options.qualifier, options.idempotent, false);
    const { n } = call;
    const [account = "", fn = ""] = name.split(".");
    const body = encoder.encode(JSON.stringify({ n, doing, ms, inner: options.inner, fill: "x".repeat(options.bytes ?? 0) }));
    this.#world.caller.send(SUBJECT.fn(account, fn, options.qualifier), body, `_INBOX.c.${n}`, options.headers);
    return call;
  }

  #open(name: string, doing: Doing, qualifier: string | undefined, idempotent: boolean, isNested: boolean): SimulatedCall {
    const n = this.calls.length;
    const sentAt = this.#world.clock.now();
    const call: SimulatedCall = { n, name, qualifier, idempotent, isNested, sentAt, doing, went: [], runs: [], replies: [] };
    this.calls.push(call);
    return call;
  }

  /** The function that every call runs: does as the body says, and writes it down. */
  program(version: number, loadMs: number): FakeProgram {
    return {
      loadMs,
      run: (body, context) => this.#run(version, body, context),
    };
  }

  begin(name: string): Change {
    const change: Change = { name, versions: undefined, begunAt: this.#world.clock.now(), confirmedAt: Number.POSITIVE_INFINITY };
    this.changes.push(change);
    return change;
  }

  /** Versions that a call of the live alias may be answered by; undefined: any. */
  allowed(call: SimulatedCall): ReadonlySet<number> | undefined {
    const own = this.changes.filter(({ name }) => name === call.name);
    let since = -1;
    for (const [at, change] of own.entries()) if (change.confirmedAt < call.sentAt) since = at;
    if (since < 0) return undefined;
    const versions = new Set<number>();
    for (const change of own.slice(since)) {
      if (change.versions === undefined) return undefined;
      for (const version of change.versions) versions.add(version);
    }
    return versions;
  }

  async #run(version: number, bytes: Uint8Array, context: FakeContext): Promise<unknown> {
    const { n, doing, ms, inner } = JSON.parse(decoder.decode(bytes)) as { n: number; doing: Doing; ms: number; inner?: string };
    this.calls[n]?.runs.push({ version, at: this.#world.clock.now(), id: context.callId });
    if (inner !== undefined) {
      const nested = this.#open(inner, doing, undefined, inner === "a.repeat", true);
      await context.call(inner.slice(inner.indexOf(".") + 1), encoder.encode(JSON.stringify({ n: nested.n, doing, ms })));
      return { n };
    }
    if (doing === "sleep") await context.sleep(ms);
    if (doing === "throw") throw new TypeError("no luck");
    if (doing === "crash") {
      await context.sleep(ms);
      context.exit(1);
    }
    if (doing === "hungry") context.useMemory(100_000);
    if (doing === "hang" || doing === "crash" || doing === "hungry") await new Promise(() => undefined);
    return { n };
  }

  #passed(packet: Packet, to: string): void {
    // Also what goes back to whoever placed it: that one has it again.
    const named = packet.subject.startsWith("_pilot.back.") ? packet.subject : packet.reply;
    const at = named.lastIndexOf("_INBOX.c.");
    if (at < 0) return;
    const call = this.calls[Number(named.slice(at + "_INBOX.c.".length))];
    call?.went.push({ to, subject: packet.subject, at: this.#world.clock.now() });
  }
}
