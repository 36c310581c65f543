/** Settings of a function: the defaults, a change laid over them, and what the account allows. Pure. */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { AccountRecord, FunctionClass, FunctionSettings } from "../../../protocol/vocabulary.ts";

/** What an operator wants changed; what is absent stays. */
export interface SettingsChange {
  readonly memoryMb?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly keepAliveMs?: number | undefined;
  /** null: decided from use again. */
  readonly class?: FunctionClass | null | undefined;
  readonly direct?: boolean | undefined;
  readonly idempotent?: boolean | undefined;
  readonly containers?: number | undefined;
}

/** Settings of a function that names none, in an account that may allow less memory than the default. */
export function defaultSettings(account: AccountRecord | undefined): FunctionSettings {
  return {
    memoryMb: Math.min(LIMITS.memoryDefault.value, account?.memoryMb ?? LIMITS.memoryDefault.value),
    timeoutMs: LIMITS.timeoutDefault.value,
    keepAliveMs: LIMITS.keepAlive.value,
    direct: true,
    idempotent: false,
    containers: LIMITS.containersPerFunction.value,
  };
}

/**
 * Throws NotAllowed when the change asks for more memory than the account allows. A time limit above the account's is kept:
 * the account's bounds each run, and may be raised later.
 */
export function mergeSettings(now: FunctionSettings, change: SettingsChange, account: AccountRecord | undefined): FunctionSettings {
  const most = account?.memoryMb;
  if (change.memoryMb !== undefined && most !== undefined && change.memoryMb > most) {
    throw new Fault(
      "NotAllowed",
      `account ${account?.name} may use at most ${most} MB per container, the function wants ${change.memoryMb}`,
    );
  }
  const wantedClass = change.class === undefined ? now.class : change.class;
  return {
    memoryMb: change.memoryMb ?? now.memoryMb,
    timeoutMs: change.timeoutMs ?? now.timeoutMs,
    keepAliveMs: change.keepAliveMs ?? now.keepAliveMs,
    ...(wantedClass !== undefined && wantedClass !== null && { class: wantedClass }),
    direct: change.direct ?? now.direct,
    idempotent: change.idempotent ?? now.idempotent,
    containers: change.containers ?? now.containers,
  };
}

/** Throws BadRequest when names and values together are above LIMITS.environment. */
export function checkEnvironment(environment: Readonly<Record<string, string>>): void {
  const encoder = new TextEncoder();
  let bytes = 0;
  for (const [name, value] of Object.entries(environment)) bytes += encoder.encode(name).length + encoder.encode(value).length;
  if (bytes > LIMITS.environment.value) {
    throw new Fault("BadRequest", `the environment has ${bytes} bytes, at most ${LIMITS.environment.value} are allowed`);
  }
}
