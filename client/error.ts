/** What a call or a connection fails with: an error with a row in docs/errors.md. */
import { ERRORS, type ErrorName, Fault } from "../protocol/errors.ts";

/**
 * `name` is the row (`FunctionNotFound`, `TimedOut`, …), `code` its HTTP-like number, `fault` who has to act (`caller`, `function` or
 * `platform`), `retry` whether the same again may work (`no`, `elsewhere`, `later`).
 *
 *     try { await pilot.invoke("reserve", order) }
 *     catch (error) { if (isPilotError(error) && error.retry === "later") await pause(error.retryAfterMs ?? 1_000) }
 */
export class PilotError extends Fault {
  /** What to do next, in a sentence. */
  get next(): string {
    const known = this.details?.["next"];
    return typeof known === "string" ? known : ERRORS[this.name].cure;
  }

  /** Milliseconds after which another try makes sense, where that is known. */
  get retryAfterMs(): number | undefined {
    const after = this.details?.["retryAfterMs"];
    return typeof after === "number" ? after : undefined;
  }

  /** The stack of the function's own code, in the lines of its source, when it threw. `stack` is the caller's. */
  get functionStack(): string | undefined {
    const stack = this.details?.["stack"];
    return typeof stack === "string" ? stack : undefined;
  }

  /** Headers of the reply, when there was one. */
  get headers(): Readonly<Record<string, string>> {
    return (this.details?.["headers"] ?? {}) as Readonly<Record<string, string>>;
  }

  /** True where it is certain that nothing ran. */
  get neverRan(): boolean {
    return this.details?.["undelivered"] === true;
  }

  /** Anything thrown below becomes one; what is not a Fault is `Internal`, with the thrown as `cause`. */
  static of(thrown: unknown): PilotError {
    if (thrown instanceof PilotError) return thrown;
    const { name, message, details, cause } = Fault.from(thrown);
    return new PilotError(name, message, details, cause);
  }
}

/** True for an error of this client; with `name`, for one of that row. */
export function isPilotError(thrown: unknown, name?: ErrorName): thrown is PilotError {
  return thrown instanceof PilotError && (name === undefined || thrown.name === name);
}
