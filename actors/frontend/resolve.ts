/** From a name and a caller's options to a call that can be placed: version, amounts, time limits. Pure. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { CallHead } from "../../protocol/messages/call.ts";
import type { AccountRecord, FunctionClass, FunctionRecord } from "../../protocol/vocabulary.ts";
import type { CallOptions } from "./headers.ts";

export type ResolvedCall = Pick<
  CallHead,
  | "account"
  | "function"
  | "version"
  | "memoryMb"
  | "timeoutMs"
  | "keepAliveMs"
  | "containers"
  | "waitMs"
  | "trace"
  | "traceparent"
  | "class"
  | "idempotent"
  | "runtimeWanted"
>;

/** Throws Fault NotAllowed for an inactive account, or a memory amount above the account's. `version` is the alias already resolved. */
export function resolveCall(
  record: FunctionRecord,
  account: AccountRecord | undefined,
  version: number,
  options: CallOptions,
  waitedMs: number,
): ResolvedCall {
  const { settings } = record;
  const limits = boundsOf(record.account, account, options);
  return {
    account: record.account,
    function: record.name,
    version,
    memoryMb: limits.memory(options.memoryMb ?? settings.memoryMb),
    timeoutMs: limits.timeout(settings.timeoutMs),
    keepAliveMs: settings.keepAliveMs,
    containers: limits.containers(settings.containers),
    waitMs: waitOf(options, waitedMs),
    trace: options.trace,
    class: settings.class ?? ("rare" satisfies FunctionClass),
    idempotent: settings.idempotent,
    ...(options.traceparent !== undefined && { traceparent: options.traceparent }),
    ...(options.runtimeWanted !== undefined && { runtimeWanted: options.runtimeWanted }),
  };
}

/** The same for code that came inside the request: nothing is stored of it, so the defaults apply. */
export function resolveInline(
  accountName: string,
  account: AccountRecord | undefined,
  options: CallOptions,
): Omit<ResolvedCall, "function" | "version"> {
  const limits = boundsOf(accountName, account, options);
  return {
    account: accountName,
    memoryMb: limits.memory(options.memoryMb ?? LIMITS.memoryDefault.value),
    timeoutMs: limits.timeout(LIMITS.timeoutDefault.value),
    keepAliveMs: 0,
    containers: limits.containers(LIMITS.containersPerFunction.value),
    waitMs: waitOf(options, 0),
    trace: options.trace,
    class: "rare",
    idempotent: false,
    ...(options.traceparent !== undefined && { traceparent: options.traceparent }),
    ...(options.runtimeWanted !== undefined && { runtimeWanted: options.runtimeWanted }),
  };
}

function boundsOf(name: string, account: AccountRecord | undefined, options: CallOptions) {
  if (account?.active === false) throw new Fault("NotAllowed", `account ${name} is not active`);
  return {
    containers: (stored: number) => Math.min(stored, account?.containers ?? stored),
    timeout: (stored: number) => Math.min(stored, account?.timeoutMs ?? stored, options.timeoutMs ?? stored),
    memory(wanted: number): number {
      const most = account?.memoryMb ?? LIMITS.memoryMax.value;
      if (wanted > most)
        throw new Fault("NotAllowed", `account ${name} may use at most ${most} MB per container, the call wants ${wanted}`);
      return wanted;
    },
  };
}

function waitOf(options: CallOptions, waitedMs: number): number {
  return Math.max(0, (options.deadlineMs ?? LIMITS.waitForPlace.value) - waitedMs);
}
