/** The body of a call on its way out: small ones go with the call, large ones ahead of it, by claim check. */
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT } from "../../protocol/limits.ts";
import { putBody, putStream } from "./bodies.ts";
import { partsFrom } from "./body-stream.ts";
import type { Caller } from "./caller.ts";
import type { Invocation } from "./invocation.ts";

const NOTHING = new Uint8Array(0);

/** The body of a call as it goes: whole in a message, or the claim check for one that was stored (and then `small` is empty). */
export interface Outgoing {
  readonly small: Uint8Array;
  readonly claim?: string;
}

/**
 * Reads a body, and stores it where it is above BODY_LIMIT. Rejects with PayloadTooLarge for code in the request, which cannot be stored, and with what
 * the store says. A source is closed however this ends.
 */
export async function sendAhead(caller: Pick<Caller, "call">, order: Invocation): Promise<Outgoing> {
  const { account, callee, body, signal, onProgress } = order;
  const progress = onProgress && ((done: number, total: number) => onProgress("up", done, total));
  if (body instanceof Uint8Array) {
    if (body.length <= BODY_LIMIT) return { small: body };
    if (callee === undefined) throw tooLargeInline();
    return { small: NOTHING, claim: await putBody(caller, account, body, { signal, progress }) };
  }
  const parts = partsFrom(body.pieces);
  const first: Uint8Array[] = [];
  let size = 0;
  try {
    while (size <= BODY_LIMIT) {
      const next = await parts.next();
      if (next.done === true) return { small: first.length === 1 ? (first[0] ?? NOTHING) : Buffer.concat(first, size) };
      first.push(next.value);
      size += next.value.length;
    }
    if (callee === undefined) throw tooLargeInline();
  } catch (thrown) {
    await parts.return();
    throw thrown;
  }
  const all = async function* () {
    try {
      for (let part = first.shift(); part !== undefined; part = first.shift()) yield part;
      yield* parts;
    } finally {
      await parts.return();
    }
  };
  const claim = await putStream(caller, account, all(), { signal, progress, total: body.bytes });
  order.onStored?.();
  return { small: NOTHING, claim };
}

const tooLargeInline = (): Fault =>
  new Fault("PayloadTooLarge", `code and event are more than the ${BODY_LIMIT} bytes that fit into one request`);
