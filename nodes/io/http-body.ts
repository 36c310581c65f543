/** The body of an HTTP request, bounded in size, in pauses and in time. */
import type { IncomingMessage } from "node:http";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { Gathered } from "./gathered.ts";

const NOTHING = new Uint8Array(0);

/** `hold` is told of each piece before it is kept, and may throw. Rejects with Fault PayloadTooLarge, BadRequest, or what `hold` throws. */
export function readHttpBody(request: IncomingMessage, hold: (bytes: number) => void, signal: AbortSignal): Promise<Uint8Array> {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  if (coding === undefined && (length === undefined || length === "0")) return Promise.resolve(NOTHING);
  const tooLarge = (): Fault =>
    new Fault("PayloadTooLarge", `the body has more than ${LIMITS.largeBody.value} bytes`, {
      next: "Store the data and send a reference to it.",
    });
  if (Number(length ?? 0) > LIMITS.largeBody.value) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const gathered = new Gathered();
    const fail = (fault: unknown): void => {
      end();
      request.pause();
      reject(fault);
    };
    const slow = (): void => fail(new Fault("BadRequest", "the body came too slowly"));
    const pause = setTimeout(slow, LIMITS.httpBodyPause.value);
    const whole = setTimeout(slow, LIMITS.httpBodyTime.value);
    const end = (): void => {
      clearTimeout(pause);
      clearTimeout(whole);
      signal.removeEventListener("abort", onGone);
      request.off("data", onData).off("end", onEnd).off("error", onGone);
    };
    const onData = (piece: Uint8Array): void => {
      pause.refresh();
      try {
        if (gathered.size + piece.length > LIMITS.largeBody.value) throw tooLarge();
        hold(piece.length);
      } catch (thrown) {
        fail(thrown);
        return;
      }
      gathered.add(piece);
    };
    const onEnd = (): void => {
      end();
      resolve(gathered.whole());
    };
    const onGone = (): void => fail(new Fault("Cancelled", "the client closed the connection within the body"));
    request.on("data", onData).on("end", onEnd).on("error", onGone);
    if (signal.aborted) onGone();
    else signal.addEventListener("abort", onGone, { once: true });
  });
}
