/**
 * An HTTP server for a table of routes: it admits, checks the token, bounds, and answers; what a request means is its route's.
 *
 * W1  Nothing of a body is read before its request has been admitted; what is in memory of bodies and replies is counted and bounded. Of a
 *     large body, either way, only a part at a time is.
 * W2  A client that goes away ends its request: `signal` fires. One that sends or reads too slowly is disconnected.
 * W3  A stop takes nothing new, waits for what runs, and then ends it.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type HttpAddress, refuseBrowsers } from "../../actors/gateway/address.ts";
import { faultReply, type HttpReply, Refusal } from "../../actors/gateway/reply.ts";
import type { Log } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { limitCounter } from "../../protocol/metrics.ts";
import { openBodyReader } from "./http-body.ts";
import { Exchange, type Held, type HttpRequest } from "./http-exchange.ts";
import { sendReply } from "./http-send.ts";
import type { TokenCheck } from "./http-token.ts";
import { until } from "./until.ts";

export interface HttpRoute {
  readonly method: "GET" | "POST";
  /** `/healthz`, or `/fn/*` for all below. */
  readonly path: string;
  /** True: no token is asked for. Default false. */
  readonly isOpen?: boolean;
  /** Asked for here instead of the server's. */
  readonly token?: TokenCheck | undefined;
  /** Rejects with a Fault or a Refusal. */
  serve(request: HttpRequest): Promise<HttpReply>;
}

export interface HttpOptions {
  readonly address: HttpAddress;
  /** Undefined: everybody on this machine is served; legal for a loopback address only. */
  readonly token: TokenCheck | undefined;
  readonly routes: readonly HttpRoute[];
  readonly log: Log;
}

export interface HttpServer {
  /** `http://127.0.0.1:8080`, with the real port. */
  readonly url: string;
  counters(): Readonly<Record<string, number>>;
  /** W3. `waitMs`: how long what runs may go on; default LIMITS.drain. */
  stop(waitMs?: number): Promise<void>;
}

/** How often Node looks for connections whose headers are overdue. */
const CHECK_MS = 1_000;

/** Listens. Rejects with Fault BadRequest when the address cannot be had, NotAllowed for one beyond the loopback without a token. */
export async function openHttp({ address, token, routes, log }: HttpOptions): Promise<HttpServer> {
  if (token === undefined && !address.isLoopback)
    throw new Fault("NotAllowed", `what listens at ${address.host} needs a token: give a file with one, or listen at 127.0.0.1`);
  const { fastify } = await import("fastify");
  const app = fastify({
    http: { maxHeaderSize: LIMITS.httpHeaders.value, headersTimeout: LIMITS.httpHeadersWait.value, connectionsCheckingInterval: CHECK_MS },
    keepAliveTimeout: LIMITS.httpKeepAlive.value,
    requestIdHeader: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    clientErrorHandler,
    // A path that cannot be decoded.
    frameworkErrors: (error, request, reply) => refuse(error, request, reply),
  });
  const counts: Record<string, number> = {};
  const count = (name: string): void => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  const open = new Set<Exchange>();
  const bodies = openBodyReader();
  const held: Held = { bytes: 0 };
  let isDraining = false;

  const admit = (route: HttpRoute | undefined, raw: IncomingMessage): HttpRoute => {
    if (isDraining) throw new Fault("Draining", "this gateway is stopping");
    if (open.size > LIMITS.httpRequests.value)
      throw new Fault("Throttled", "this gateway serves as many requests as it may", { retryAfterMs: 1_000, limit: "httpRequests" });
    if (route?.isOpen !== true) {
      const asked = route?.token ?? token;
      if (asked === undefined) refuseBrowsers(raw.headers);
      else if (!asked(raw.headers.authorization))
        throw new Refusal(new Fault("NotAllowed", "a token is needed: Authorization: Bearer TOKEN"), 401, { "WWW-Authenticate": "Bearer" });
    }
    return route ?? missing(routes, raw);
  };

  const answer = async (route: HttpRoute | undefined, raw: IncomingMessage, response: ServerResponse): Promise<void> => {
    const exchange = new Exchange(raw, held, bodies);
    open.add(exchange);
    response.on("close", () => {
      open.delete(exchange);
      exchange.release();
      if (!response.writableFinished) exchange.signal.abort(new Fault("Cancelled", "the client closed the connection"));
    });
    let reply: HttpReply;
    try {
      reply = await admit(route, raw).serve(exchange);
      if (!response.destroyed) exchange.keep(reply);
      count("answered");
    } catch (thrown) {
      reply = refusalReply(thrown, log);
      if (!response.destroyed) exchange.keep(reply, true);
      count(`failed.${thrown instanceof Refusal ? thrown.status : Fault.from(thrown).name}`);
      // What a reply says of limits elsewhere was counted there.
      const limit = limitCounter(Fault.from(thrown));
      if (limit?.startsWith("limit.http")) count(limit);
    }
    sendReply(raw, response, reply, isDraining);
  };

  app.removeAllContentTypeParsers();
  // Bodies stay on the wire until a route asks for them.
  app.addContentTypeParser("*", (_request, _body, done) => done(null));
  for (const route of routes)
    app.route({
      method: route.method,
      url: route.path,
      handler: (request, reply) => {
        reply.hijack();
        void answer(route, request.raw, reply.raw);
      },
    });
  app.setNotFoundHandler((request, reply) => {
    reply.hijack();
    void answer(undefined, request.raw, reply.raw);
  });
  app.setErrorHandler(refuse);
  app.server.maxConnections = LIMITS.httpConnections.value;
  app.server.on("drop", () => count("connectionsDropped"));
  await app.listen({ host: address.host, port: address.port }).catch((error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    throw new Fault("BadRequest", `cannot listen at ${address.host}:${address.port}: ${text}`, undefined, error);
  });
  const bound = app.server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;

  return {
    url: `http://${host}:${port}`,
    counters: () => ({ ...counts, open: open.size, heldBytes: held.bytes }),
    async stop(waitMs = LIMITS.drain.value) {
      isDraining = true;
      const closed = new Promise<void>((resolve) => app.server.close(() => resolve()));
      app.server.closeIdleConnections();
      await until(() => (open.size === 0 ? true : undefined), waitMs);
      for (const { signal } of open) signal.abort(new Fault("Draining", "this gateway is stopping"));
      await until(() => (open.size === 0 ? true : undefined), LIMITS.drainLeast.value / 2);
      app.server.closeAllConnections();
      bodies.stop();
      await closed;
      await app.close();
    },
  };
}

/** What the library refuses before any route. */
function refuse(
  error: unknown,
  request: { readonly raw: IncomingMessage },
  reply: { readonly raw: ServerResponse; hijack(): unknown },
): void {
  reply.hijack();
  const message = error instanceof Error ? error.message : String(error);
  sendReply(request.raw, reply.raw, faultReply(new Fault("BadRequest", message)), true);
}

/** Throws: what is wrong with a request that no route serves. */
function missing(routes: readonly HttpRoute[], { method, url = "" }: IncomingMessage): never {
  const path = url.split("?", 1)[0] ?? "";
  const allowed = routes.filter((one) => (one.path.endsWith("*") ? path.startsWith(one.path.slice(0, -1)) : path === one.path));
  if (allowed.length === 0) throw new Fault("NotFound", "there is nothing at this path");
  const methods = [...new Set(allowed.map((one) => one.method))].join(", ");
  throw new Refusal(new Fault("BadRequest", `${method ?? "this method"} is not served here, only ${methods}`), 405, { Allow: methods });
}

function refusalReply(thrown: unknown, log: Log): HttpReply {
  if (thrown instanceof Refusal) return faultReply(thrown.fault, thrown.status, thrown.headers);
  const fault = Fault.from(thrown);
  if (fault.name === "Internal") log.error("a request failed inside", { error: fault.stack, cause: String(fault.cause ?? "") });
  return faultReply(fault);
}

/** What is no HTTP at all, headers that are too large or too slow. */
function clientErrorHandler(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const status =
    error.code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? "408 Request Timeout"
        : "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
