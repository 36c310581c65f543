/** What every log line about a call says of it, so that one id follows a call over the logs of all nodes. */
import type { CallHead } from "../../protocol/messages/call.ts";

export interface AboutCall extends Record<string, unknown> {
  readonly call: string;
  readonly account: string;
  readonly function: string;
}

type Named = Pick<CallHead, "call" | "account" | "function">;

export function aboutCall({ call, account, function: name }: Named): AboutCall {
  return { call, account, function: name };
}

/** What an error of a node that never ran the call tells its caller, where a trace was asked for: the id to look for. */
export function tracedHeaders({ call, trace, traceparent }: Pick<CallHead, "call" | "trace" | "traceparent">): Record<string, string> {
  if (!trace) return {};
  return { "Pilot-Call": call, ...(traceparent !== undefined && { traceparent }) };
}
