/** Sending the answer of an HTTP request: in one write where it is small, piece by piece where it is not held. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpReply, ReplyStream } from "../../actors/gateway/reply.ts";
import { LIMITS } from "../../protocol/limits.ts";

const UNREAD_MS = 500;
/** Up to this the body goes in one write with its head, which takes a copy. */
const ONE_WRITE = 64 * 1_024;

export const isStream = (body: HttpReply["body"]): body is ReplyStream => typeof body !== "string" && !(body instanceof Uint8Array);

/** `isLast`: the connection ends with it. `mostMs`: how long the client may take to read it. Never throws. */
export function sendReply(
  raw: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: HttpReply,
  isLast: boolean,
  mostMs: number = LIMITS.httpReplyTime.value,
): void {
  if (response.destroyed || response.headersSent) {
    if (isStream(body)) body.close();
    return;
  }
  const isWhole = raw.complete;
  const all: Record<string, string | number> = { ...headers, "X-Content-Type-Options": "nosniff", "Content-Length": lengthOf(body) };
  // What is left of the request's body is not waited for.
  if (isLast || !isWhole) all["Connection"] = "close";
  response.writeHead(status, all);
  if (isStream(body)) void sendPieces(response, body);
  else {
    if (typeof body === "string" || body.length > ONE_WRITE) response.end(body);
    else response.end(Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1"), "latin1");
    // One that does not read is disconnected, as long as it reads it is waited for.
    if (response.writableLength > 0) response.socket?.setTimeout(LIMITS.httpBodyPause.value);
  }
  if (isStream(body) || response.writableLength > 0) endAfter(response, mostMs);
  if (isWhole) return;
  // A client that still writes would lose the answer with a connection that is reset.
  raw.resume();
  const { socket } = raw;
  setTimeout(() => socket.destroy(), UNREAD_MS).unref();
}

/** One that reads a little now and then would never be idle. */
function endAfter(response: ServerResponse, ms: number): void {
  const timer = setTimeout(() => response.destroy(), ms);
  timer.unref();
  response.on("close", () => clearTimeout(timer));
}

const lengthOf = (body: HttpReply["body"]): number =>
  isStream(body) ? body.bytes : typeof body === "string" ? Buffer.byteLength(body) : body.length;

/** Whatever goes wrong, the client sees less than Content-Length and a connection that is closed. */
async function sendPieces(response: ServerResponse, body: ReplyStream): Promise<void> {
  let sent = 0;
  try {
    for await (const piece of body.pieces) {
      if (response.destroyed) break;
      sent += piece.length;
      if (!response.write(piece)) await drained(response);
    }
    if (sent === body.bytes) response.end();
    else response.destroy();
  } catch {
    response.destroy();
  } finally {
    body.close();
  }
}

/** Resolves when there is room, or when the connection is gone. One that does not read is disconnected. */
function drained(response: ServerResponse): Promise<void> {
  const { socket } = response;
  socket?.setTimeout(LIMITS.httpBodyPause.value);
  return new Promise((resolve) => {
    const end = (): void => {
      response.off("drain", end).off("close", end);
      resolve();
    };
    response.on("drain", end).on("close", end);
    if (response.destroyed) end();
  });
}
