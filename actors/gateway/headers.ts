/** Headers of an HTTP request that are headers of the call: the Pilot- ones and traceparent. */
import { BODY_HEADER } from "../../protocol/bodies.ts";
import { Fault } from "../../protocol/errors.ts";
import { CALL_HEADERS } from "../../protocol/headers.ts";
import { type CallOptions, readCallHeaders } from "../frontend/headers.ts";

export interface GatewayHeaders {
  /** As they go on the wire; undefined when there is none, so that the call takes the shortest way. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly options: CallOptions;
}

const NONE: GatewayHeaders = Object.freeze({ headers: undefined, options: readCallHeaders([], () => undefined) });
const CANONICAL: Readonly<Record<string, string>> = Object.fromEntries(
  [...Object.keys(CALL_HEADERS), "traceparent"].map((name) => [name.toLowerCase(), name]),
);

/** Reads them from an HTTP request, whose header names are in lower case. Throws Fault BadHeader, as a frontend would. */
export function readGatewayHeaders(given: Readonly<Record<string, string | readonly string[] | undefined>>): GatewayHeaders {
  let names: string[] | undefined;
  for (const name in given) if (name.startsWith("pilot-") || name === "traceparent") (names ??= []).push(name);
  if (names === undefined) return NONE;
  const textOf = (name: string): string => {
    const value = given[name];
    return typeof value === "string" ? value : (value ?? []).join(", ");
  };
  const options = readCallHeaders(names, textOf);
  const headers: Record<string, string> = {};
  for (const name of names) {
    const canonical = CANONICAL[name] ?? name;
    if (canonical === BODY_HEADER) throw new Fault("BadHeader", "a large body is sent as it is: the gateway cuts it by itself");
    headers[canonical] = textOf(name);
  }
  return { headers, options };
}
