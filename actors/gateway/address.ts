/** Where a gateway listens, and whom it serves there. */
import { Fault } from "../../protocol/errors.ts";

export interface HttpAddress {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** True where only processes of this machine can connect. */
  readonly isLoopback: boolean;
}

/** Where a gateway listens when nobody says otherwise. */
export const DEFAULT_HTTP = "127.0.0.1:8080";

/** Reads `127.0.0.1:8080`, `[::1]:8080`, `localhost:0`. Throws Fault BadRequest. */
export function readHttpAddress(text: string): HttpAddress {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535))
    throw new Fault("BadRequest", `${JSON.stringify(text.slice(0, 100))} is no address to listen at; write it as 127.0.0.1:8080`);
  return { host, port, isLoopback: isLoopback(host) };
}

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);

/**
 * Without a token anybody on the machine is served, but no page in a browser: it could send requests here from anywhere. Throws Fault
 * NotAllowed for a request that a browser sends for a page, or that was made for another name than this machine's own.
 */
export function refuseBrowsers(headers: Readonly<Record<string, string | readonly string[] | undefined>>): void {
  if (headers["origin"] !== undefined || headers["sec-fetch-site"] !== undefined)
    throw new Fault("NotAllowed", "pages in a browser are not served without a token");
  const host = headers["host"];
  const name = typeof host === "string" ? (/^\[([^\]]*)\](?::\d+)?$/.exec(host)?.[1] ?? host.replace(/:\d+$/, "")) : "";
  if (!isLoopback(name.toLowerCase())) throw new Fault("NotAllowed", "without a token only requests to localhost are served");
}
