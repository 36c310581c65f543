/** `GET /healthz`: whether a call that came now would be answered. */
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Caller } from "../io/caller.ts";
import type { HttpRoute } from "../io/http.ts";

export interface HealthPorts {
  readonly caller: Caller;
  isConnected(): boolean;
}

/** 200 when the broker is connected and a frontend answers, else 503. Asked once for all who want to know within LIMITS.httpHealth. */
export function healthRoute({ caller, isConnected }: HealthPorts): HttpRoute {
  let known: { readonly until: number; readonly problem: Promise<string | undefined> } | undefined;
  const look = async (): Promise<string | undefined> => {
    // A cancel that names no call: whoever answers calls refuses it at once, and nobody else hears of it.
    const refused = await caller
      .call(SUBJECT.cancel("health"), new Uint8Array(0), { timeoutMs: LIMITS.httpHealth.value })
      .then(() => undefined, Fault.from);
    return refused === undefined || refused.name === "BadRequest" ? undefined : refused.message;
  };
  return {
    method: "GET",
    path: "/healthz",
    isOpen: true,
    async serve() {
      const now = performance.now();
      if (known === undefined || known.until < now) known = { until: now + LIMITS.httpHealth.value, problem: look() };
      const problem = isConnected() ? await known.problem : "the connection to the broker is away";
      const body = JSON.stringify(problem === undefined ? { ready: true } : { ready: false, reason: problem });
      return { status: problem === undefined ? 200 : 503, headers: { "Content-Type": "application/json; charset=utf-8" }, body };
    },
  };
}
