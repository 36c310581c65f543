/**
 * What a failed command says and which code it exits with: 1 the function or the caller's request failed,
 * 2 the command line is wrong, 3 the platform failed. Three lines: what happened, whose fault, what to do next.
 */
import { ERRORS, Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";

/** The command line is wrong in a way that its grammar cannot tell; exit code 2. */
export class Usage extends Error {
  override readonly name = "Usage";
  /** What to do, where more is known than that --help says more. */
  readonly next: string | undefined;
  constructor(message: string, next?: string) {
    super(message);
    this.next = next;
  }
}

/** The user pressed Ctrl-C, or nobody reads the answer any more. Nothing is said about it. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** `interrupted` is what shells expect of a command ended by Ctrl-C. */
export const EXIT = { success: 0, failed: 1, usage: 2, platform: 3, interrupted: 130 } as const;

/** The exit code that belongs to anything a command throws. */
export function exitCodeOf(thrown: unknown): number {
  if (thrown instanceof Usage) return EXIT.usage;
  if (thrown instanceof Interrupted) return EXIT.interrupted;
  if (thrown instanceof Fault && thrown.fault !== "platform") return EXIT.failed;
  return EXIT.platform;
}

/** A port, store, program or name that was chosen on the command line and cannot be had. */
export function badChoice(thrown: unknown): thrown is Fault {
  return thrown instanceof Fault && (thrown.name === "BadRequest" || thrown.name === "Conflict");
}

/** A wrong command line: what is wrong with it. There may be several such lines before one with where to look. */
export function wrong(what: string): string {
  return `pilot: ${printable(what)}`;
}

/** Where to look after a wrong command line. */
export const USAGE_ADVICE = "  next:  the command with --help shows what it takes";

const CULPRIT = { caller: "the request", function: "the function", platform: "the platform" } as const;
const AGAIN = {
  no: "the same again fails again",
  elsewhere: "trying again may help",
  later: "trying again later may help",
} as const;

/** The text for stderr, without a final newline. `debug` adds our own stack. */
export function explain(thrown: unknown, debug: boolean): string {
  if (thrown instanceof Interrupted) return `pilot: ${thrown.message}`;
  if (thrown instanceof Usage) return `${wrong(thrown.message)}\n${thrown.next === undefined ? USAGE_ADVICE : `  next:  ${thrown.next}`}`;
  const fault = Fault.from(thrown);
  const text = [
    `pilot: ${fault.name} (${fault.code}): ${printable(fault.message)}`,
    ...functionStack(fault),
    `  fault: ${CULPRIT[fault.fault]}; ${AGAIN[fault.retry]}`,
    `  next:  ${cureOf(fault)}`,
  ];
  if (debug) text.push(stackOf(fault));
  return text.join("\n");
}

/** The same as data, for `--json`. */
export function failureData(thrown: unknown): Record<string, unknown> {
  const fault = Fault.from(thrown);
  return {
    name: fault.name,
    message: fault.message,
    fault: fault.fault,
    retry: fault.retry,
    next: cureOf(fault),
    ...(typeof fault.details?.["stack"] === "string" && { stack: fault.details["stack"] }),
  };
}

/** What to do next: where more is known than the table says, the fault has it in its details. */
export function cureOf(fault: Fault): string {
  const known = fault.details?.["next"];
  return typeof known === "string" ? printable(known).slice(0, 1_000) : ERRORS[fault.name].cure;
}

/** The stack of the function itself, when it threw: its own lines, never the platform's. */
function functionStack(fault: Fault): string[] {
  const stack = fault.details?.["stack"];
  if (typeof stack !== "string") return [];
  const rest = stack.startsWith(fault.message) ? stack.slice(fault.message.length) : stack;
  const lines = printable(rest).split("\n");
  return lines.filter((line) => line.trim() !== "").slice(0, LIMITS.shownStack.value);
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}

/** What others wrote, without the control characters that could rewrite the terminal; newlines and tabs stay. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
