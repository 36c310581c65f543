/**
 * The code store: bundles by digest in an object-store bucket of the broker, a source map beside each as `<digest>.map`.
 *
 * C1  What `get` returns has the digest that was asked for; anything else is CodeUnavailable and counted.
 * C2  Code that is there has its map there: the map is stored first.
 * C3  Code of one chunk has it on a subject that follows from the digest: reading it takes one request, while a first call waits.
 * C4  A read ends: each step has a deadline, since the client library waits for ever for a chunk that is gone.
 */
import { headers, type NatsConnection, NatsError, type ObjectInfo, type ObjectStore } from "nats";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { sha256 } from "../bundle/bundle.ts";
import { isDiskFull, ROOM_ADVICE } from "../storage-fault.ts";
import { within } from "../within.ts";

const CODE_BUCKET = "pilot_code";

/** Most bundles are one message. */
const CHUNK = 1024 * 1024;
const ATTEMPTS = 2;
/** The broker's word for: there is a message on the subject already. */
const WRONG_LAST_SEQUENCE = 10_071;

export interface CodeStore {
  /** Stores code and map; resolves to false when the digest was there already and nothing was sent. */
  put(bundle: { readonly digest: string; readonly code: Uint8Array; readonly map?: Uint8Array }): Promise<boolean>;
  /** Rejects with Fault NotFound, or CodeUnavailable for what cannot be read or has another digest. */
  get(digest: string): Promise<Uint8Array>;
  /** The source map; undefined where there is none. */
  map(digest: string): Promise<Uint8Array | undefined>;
  has(digest: string): Promise<boolean>;
  /** Removes code and map; no error when they are not there. */
  remove(digest: string): Promise<void>;
  /** Cumulative. */
  readonly counts: { uploads: number; downloads: number; corrupt: number };
}

export interface CodeStoreOptions {
  readonly bucket?: string;
  /** Copies in a cluster, when the bucket has to be made. */
  readonly replicas?: number;
  /** How long objects live in ms, when the bucket has to be made; without it they stay. */
  readonly lifeMs?: number;
}

/** Opens the bucket and makes it where the credential may. Rejects with Fault Unavailable. */
export async function openCodeStore(nc: NatsConnection, options: CodeStoreOptions = {}): Promise<CodeStore> {
  const bucket = options.bucket ?? CODE_BUCKET;
  const opening = { timeout: LIMITS.control.value };
  let objects: ObjectStore;
  try {
    objects = await nc.jetstream(opening).views.os(bucket, {
      description: "Code by digest",
      ...(options.replicas !== undefined && { replicas: options.replicas }),
      ...(options.lifeMs !== undefined && { ttl: options.lifeMs * 1_000_000 }),
    });
  } catch (thrown) {
    throw new Fault("Unavailable", `The code store ${bucket} cannot be opened: ${said(thrown)}.`, undefined, thrown);
  }
  const counts = { uploads: 0, downloads: 0, corrupt: 0 };

  async function find(name: string): Promise<ObjectInfo | undefined> {
    const info = await within(objects.info(name), LIMITS.control.value, "the broker did not answer");
    return info === null || info.deleted ? undefined : info;
  }

  async function upload(name: string, bytes: Uint8Array): Promise<void> {
    await objects.put({ name, options: { max_chunk_size: CHUNK } }, pieces(bytes), { timeout: patienceFor(bytes.length) });
    counts.uploads += 1;
  }

  /**
   * Code of one chunk, as an object that any client of the bucket can read; but named by its digest, and at most once however many
   * store it at once (C3). `old`: an object with wrong content in its place.
   */
  async function uploadOneChunk(digest: string, code: Uint8Array, old: ObjectInfo | undefined): Promise<void> {
    if (old !== undefined) await objects.delete(digest);
    const js = nc.jetstream({ timeout: patienceFor(code.length) });
    const publishChunk = async (): Promise<boolean> => {
      try {
        await js.publish(chunksOf(digest), code, { expect: { lastSubjectSequence: 0 } });
        return true;
      } catch (thrown) {
        if (thrown instanceof NatsError && thrown.api_error?.err_code === WRONG_LAST_SEQUENCE) return false;
        throw thrown;
      }
    };
    const isOurs = await publishChunk();
    const info = {
      name: digest,
      bucket,
      nuid: digest,
      size: code.length,
      chunks: 1,
      digest: `SHA-256=${base64url(Buffer.from(digest, "hex"))}`,
      options: { max_chunk_size: CHUNK },
      mtime: new Date().toISOString(),
      deleted: false,
    };
    const rollup = headers();
    rollup.set("Nats-Rollup", "sub");
    await js.publish(`$O.${bucket}.M.${base64url(Buffer.from(digest))}`, JSON.stringify(info), { headers: rollup });
    // What was there may have been on its way out.
    if (!isOurs) await publishChunk();
    counts.uploads += 1;
  }

  /** C3. Undefined where it is not stored so, or not to be had so: the object's description tells more. */
  async function readOneChunk(digest: string): Promise<Uint8Array | undefined> {
    const wanted = JSON.stringify({ last_by_subj: chunksOf(digest) });
    const answer = await nc.request(`$JS.API.DIRECT.GET.OBJ_${bucket}`, wanted, opening).catch(() => undefined);
    if (answer === undefined || answer.headers?.get("Nats-Subject") !== chunksOf(digest) || sha256(answer.data) !== digest)
      return undefined;
    counts.downloads += 1;
    return answer.data;
  }

  const chunksOf = (nuid: string): string => `$O.${bucket}.C.${nuid}`;

  async function download(name: string, most: number, patient: boolean): Promise<Uint8Array | undefined> {
    const info = await find(name);
    if (info === undefined) return undefined;
    if (info.size > most) throw new Error(`it has ${info.size} bytes, more than the ${most} that are allowed`);
    counts.downloads += 1;
    return patient ? readByClient(objects, name, most) : readDirectly(info);
  }

  /** Chunk after chunk by direct get: 64 MiB take a fraction of the time that the client library's consumer needs. */
  async function readDirectly({ nuid, size }: ObjectInfo): Promise<Uint8Array> {
    const whole = new Uint8Array(size);
    const subject = chunksOf(nuid);
    let sequence = 0;
    for (let at = 0; at < size; ) {
      const wanted = JSON.stringify({ seq: sequence + 1, next_by_subj: subject });
      const { data, headers } = await nc.request(`$JS.API.DIRECT.GET.OBJ_${bucket}`, wanted, opening);
      sequence = Number(headers?.get("Nats-Sequence"));
      // A replica that is behind has no such chunk yet.
      if (headers?.get("Nats-Subject") !== subject || !(sequence > 0) || data.length === 0) throw new Error("a chunk is missing");
      if (data.length > size - at) throw new Error("it has more bytes than its description says");
      whole.set(data, at);
      at += data.length;
    }
    return whole;
  }

  async function get(digest: string): Promise<Uint8Array> {
    check(digest);
    const chunk = await readOneChunk(digest);
    if (chunk !== undefined) return chunk;
    let why = "";
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      try {
        const bytes = await download(digest, LIMITS.bundle.value, attempt > 1);
        if (bytes === undefined) throw new Fault("NotFound", `The code ${digest} is not in the store.`);
        if (sha256(bytes) === digest) return bytes;
        counts.corrupt += 1;
        why = "its content has another digest";
      } catch (thrown) {
        if (thrown instanceof Fault) throw thrown;
        why = said(thrown);
      }
    }
    throw new Fault("CodeUnavailable", `The code ${digest} cannot be read: ${why}.`);
  }

  return {
    counts,
    get,
    async put({ digest, code, map }) {
      check(digest);
      if (sha256(code) !== digest) throw new Fault("BadRequest", `The code does not have the digest ${digest}.`);
      if (code.length > LIMITS.bundle.value)
        throw new Fault("BundleTooLarge", `The code has ${code.length} bytes; ${LIMITS.bundle.value} are allowed.`);
      try {
        // The broker's own digest is compared, so that deploying again repairs an object with wrong content.
        const stored = await find(digest);
        if (stored?.digest.replace("SHA-256=", "").replace(/=+$/, "") === Buffer.from(digest, "hex").toString("base64url")) return false;
        if (map !== undefined && map.length <= LIMITS.sourceMap.value) await upload(`${digest}.map`, map);
        if (code.length > 0 && code.length <= CHUNK) await uploadOneChunk(digest, code, stored);
        else await upload(digest, code);
        return true;
      } catch (thrown) {
        const why = said(thrown);
        // A server whose disk is full, or was, does not answer; only some of its errors say so.
        const silent = thrown instanceof NatsError && thrown.code === "TIMEOUT";
        if (!silent && !isDiskFull(why)) throw new Fault("Unavailable", `The code ${digest} cannot be stored: ${why}.`, undefined, thrown);
        const what = silent
          ? "the broker does not acknowledge it; is its disk full?"
          : "the broker's disk is full, or was and it was not started again";
        throw new Fault("Unavailable", `The code ${digest} cannot be stored: ${what}`, { next: ROOM_ADVICE }, thrown);
      }
    },
    async map(digest) {
      check(digest);
      try {
        return await download(`${digest}.map`, LIMITS.sourceMap.value, false);
      } catch (thrown) {
        throw new Fault("CodeUnavailable", `The source map of ${digest} cannot be read: ${said(thrown)}.`, undefined, thrown);
      }
    },
    async has(digest) {
      check(digest);
      try {
        return (await find(digest)) !== undefined;
      } catch (thrown) {
        throw new Fault("Unavailable", `The code store does not answer: ${said(thrown)}.`, undefined, thrown);
      }
    },
    async remove(digest) {
      check(digest);
      try {
        // Code first: a map without code is only waste.
        for (const name of [digest, `${digest}.map`]) if ((await find(name)) !== undefined) await objects.delete(name);
      } catch (thrown) {
        throw new Fault("Unavailable", `The code ${digest} cannot be removed: ${said(thrown)}.`, undefined, thrown);
      }
    },
  };
}

/** The library's way asks the leader, so it finds what a replica does not have yet. */
async function readByClient(objects: ObjectStore, name: string, most: number): Promise<Uint8Array> {
  const found = await within(objects.get(name), LIMITS.control.value, "the broker did not answer");
  if (found === null) throw new Error("it was removed meanwhile");
  // Its failure is also told by the stream; unheard it would end the process.
  found.error.catch(() => undefined);
  const reader = found.data.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), LIMITS.control.value, "a chunk did not come");
      if (done) return Buffer.concat(parts, size);
      size += value.length;
      if (size > most) throw new Error(`it has more than the ${most} bytes that are allowed`);
      parts.push(value);
    }
  } catch (thrown) {
    await reader.cancel().catch(() => undefined);
    throw thrown;
  }
}

/** How long a chunk of this much, or the first of more, may take to be stored, in ms. */
function patienceFor(bytes: number): number {
  const { control, store } = LIMITS;
  return control.value + Math.min(1, bytes / CHUNK) * (store.value - control.value);
}

/** In pieces of a chunk: given whole, the client library copies all that is left once per chunk. */
function pieces(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, at + CHUNK));
      at += CHUNK;
    },
  });
}

/** With the padding that the names of objects have. */
function base64url(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}

function check(digest: string): void {
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new Fault("BadRequest", "A digest is 64 hexadecimal digits in lower case.");
}

function said(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
