/** Calls by HTTP: `POST /fn/<account>/<function>[:<alias or version>]` and `POST /inline/<account>`. */
import { readGatewayHeaders } from "../../actors/gateway/headers.ts";
import { largeReply, resultReply } from "../../actors/gateway/reply.ts";
import { readCallRoute } from "../../actors/gateway/route.ts";
import type { HttpRoute } from "../io/http.ts";
import type { HttpRequest } from "../io/http-exchange.ts";
import { type InvokePorts, openInvoker } from "../io/invoke.ts";
import { isUtf8 } from "../io/utf8.ts";

/** `settled` resolves when runs of clients that went away have been looked for. */
export function callRoutes(ports: InvokePorts): { readonly routes: readonly HttpRoute[]; settled(): Promise<void> } {
  const invoker = openInvoker(ports);
  const serve = async (request: HttpRequest) => {
    const { account, callee } = readCallRoute(request.url);
    const { headers, options } = readGatewayHeaders(request.headers);
    const {
      body,
      headers: told,
      large,
    } = await invoker.open({
      account,
      callee,
      body: await request.body(),
      headers,
      deadlineMs: options.deadlineMs,
      timeoutMs: options.timeoutMs,
      signal: request.signal,
      retriesAbsent: true,
      onStored: () => request.release(),
      onLargeResult: (bytes) => request.room(bytes),
    });
    return large === undefined ? resultReply(body, told, isUtf8) : largeReply(large, told, isUtf8);
  };
  return {
    routes: [
      { method: "POST", path: "/fn/*", serve },
      { method: "POST", path: "/inline/*", serve },
    ],
    settled: () => invoker.settled(),
  };
}
