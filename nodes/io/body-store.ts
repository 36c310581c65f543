/**
 * Large bodies in the broker: each part is the one chunk of an object of the bucket `pilot_bodies`, on a subject that follows from
 * account, id and part. There are no descriptions of objects: nobody looks for one that it does not know.
 *
 * S1  A part is stored once: another in its place is refused, whoever comes first.
 * S2  A part is removed by an empty message in its place (a roll-up of its subject), which needs no right to change the stream and
 *     keeps the part from being stored again. Whatever stays goes after LIMITS.bodyLife.
 * S3  What a replica does not have (yet) is asked of the leader before it is called missing.
 * S4  No account gets more of the store than its share, as far as this node knows what each has (body-watch.ts).
 * S5  Without a leader (its server died, and another is being elected) a part waits to be stored, up to LIMITS.bodyLeader; and to be read,
 *     as long as no server at all has the store.
 */
import { setTimeout as pause } from "node:timers/promises";
import { headers, type NatsConnection, NatsError } from "nats";
import type { BodyStore, PartStore } from "../../actors/kit/body-store.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { readBody, writeBody } from "./body-parts.ts";
import type { BodyWatch } from "./body-watch.ts";
import { OBJECTS } from "./buckets.ts";
import { openGate } from "./code/gate.ts";
import { storageFault } from "./storage-fault.ts";

const STREAM = `OBJ_${OBJECTS.bodies}`;
const NOTHING = new Uint8Array(0);
/** The broker's words for: there is a message on the subject already, and: the stream is full. */
const WRONG_LAST_SEQUENCE = 10_071;
const STORE_FAILED = 10_077;

const chunks = (account: string, id: string): string => `$O.${OBJECTS.bodies}.C.${account}.${id}`;

/** For nodes that may publish to the bucket's subjects and read its stream. */
export function openPartStore(nc: NatsConnection, watch: BodyWatch): PartStore {
  const js = nc.jetstream({ timeout: LIMITS.bodyPartWait.value });
  const timeout = { timeout: LIMITS.bodyPartWait.value };

  /** Undefined: there is none. Empty: it was removed. */
  async function find(subject: string): Promise<Uint8Array | undefined> {
    const wanted = JSON.stringify({ last_by_subj: subject });
    const answer = await whenLed(() => nc.request(`$JS.API.DIRECT.GET.${STREAM}`, wanted, timeout));
    if (answer.headers?.get("Nats-Subject") === subject) return answer.data;
    const { error, message } = (await nc.request(`$JS.API.STREAM.MSG.GET.${STREAM}`, wanted, timeout)).json<FoundMessage>();
    if (message !== undefined) return message.data === undefined ? NOTHING : Buffer.from(message.data, "base64");
    if (error?.code === 404) return undefined;
    throw new Fault("Unavailable", `the store of large bodies does not answer: ${error?.description ?? "it says nothing"}`);
  }

  return {
    put: (account, id, part, bytes) =>
      storageFault("a part of a large body cannot be stored", async () => {
        const subject = `${chunks(account, id)}.${part}`;
        const key = `${account}.${id}.${part}`;
        const refusal = watch.refusal(key, bytes.length);
        if (refusal !== undefined) throw refusal;
        try {
          const { seq } = await whenLed(() => js.publish(subject, bytes, { expect: { lastSubjectSequence: 0 } }));
          watch.stored(key, bytes.length, seq);
        } catch (thrown) {
          const number = thrown instanceof NatsError ? thrown.api_error?.err_code : undefined;
          if (number === STORE_FAILED) {
            const limit = /messages/.test((thrown as NatsError).message) ? "bodyPartsKept" : "bodiesKept";
            throw new Fault("Throttled", "the store of large bodies is full", { retryAfterMs: 1_000, limit }, thrown);
          }
          if (number !== WRONG_LAST_SEQUENCE) throw thrown;
          const there = await find(subject);
          if (there === undefined || !sameBytes(there, bytes)) {
            throw new Fault("Conflict", "this part of the large body was stored before, with other content, or was used already");
          }
        }
      }),
    get: (account, id, part) =>
      storageFault("a part of a large body cannot be read", async () => {
        const bytes = await find(`${chunks(account, id)}.${part}`);
        if (bytes === undefined) throw new Fault("BodyUnavailable", `part ${part} of the large body is not there, or has expired`);
        if (bytes.length === 0) throw new Fault("BodyUnavailable", "the large body was used already, and removed");
        return bytes;
      }),
    drop: (account, id, parts) =>
      storageFault("a large body cannot be removed", async () => {
        // Only what is there: else whoever removes what never was would fill the store with its absence.
        const question = JSON.stringify({ subjects_filter: `${chunks(account, id)}.*` });
        const { state } = (await nc.request(`$JS.API.STREAM.INFO.${STREAM}`, question, timeout)).json<StreamSubjects>();
        for (const subject of Object.keys(state?.subjects ?? {}).slice(0, parts)) empty(nc, subject);
      }),
  };
}

/** For hosts: whole bodies over the same parts. */
export function openBodyStore(nc: NatsConnection, watch: BodyWatch): BodyStore {
  const store = openPartStore(nc, watch);
  // What is on its way to the host lies in the broker, which keeps only so much for one connection.
  const gate = openGate("parts of large bodies", LIMITS.bodyParts.value, LIMITS.bodyPartsWaiting.value, "bodyPartsWaiting");
  const drop = (account: string, id: string, parts: number): void => {
    if (nc.isClosed()) return;
    try {
      for (let part = 0; part < parts; part++) empty(nc, `${chunks(account, id)}.${part}`);
    } catch {
      // A connection that is closing takes nothing more; what stays expires.
    }
  };
  const carrierOf = (account: string) => ({
    drop: (id: string, parts: number) => drop(account, id, parts),
    put: (id: string, part: number, bytes: Uint8Array, signal: AbortSignal) =>
      gate(() => (signal.aborted ? Promise.reject(signal.reason) : store.put(account, id, part, bytes))),
    get: (id: string, part: number, signal: AbortSignal) =>
      gate(() => (signal.aborted ? Promise.reject(signal.reason) : store.get(account, id, part))),
  });
  return {
    read: (account, ref, signal) => readBody(carrierOf(account), ref, { signal }),
    write: (account, bytes, signal) => writeBody(carrierOf(account), bytes, { signal }),
    drop: (account, { id, parts }) => drop(account, id, parts),
  };
}

/** S5. Nobody who answers for the stream is told as "no responders", at once. */
async function whenLed<T>(work: () => Promise<T>): Promise<T> {
  const end = performance.now() + LIMITS.bodyLeader.value;
  for (;;) {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof NatsError) || thrown.code !== "503" || thrown.api_error !== undefined) throw thrown;
      if (performance.now() > end)
        throw new Fault("Unavailable", "the store of large bodies has no leader now", { retryAfterMs: 1_000 }, thrown);
      await pause(LIMITS.storageRetry.value);
    }
  }
}

interface FoundMessage {
  readonly error?: { readonly code?: number; readonly description?: string };
  readonly message?: { readonly data?: string };
}

interface StreamSubjects {
  readonly state?: { readonly subjects?: Readonly<Record<string, number>> };
}

/** S2. */
function empty(nc: NatsConnection, subject: string): void {
  const rollup = headers();
  rollup.set("Nats-Rollup", "sub");
  nc.publish(subject, NOTHING, { headers: rollup });
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}
