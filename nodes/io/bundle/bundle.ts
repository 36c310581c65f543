/** What a deploy turns a file or directory into, and the few steps that all runtimes share. */
import { createHash } from "node:crypto";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";

/** An immutable bundle: the same input (and, for Python, the same interpreter) gives the same digest. */
export interface Bundle {
  readonly runtime: RuntimeName;
  /** Name of the function inside the code that is called. */
  readonly handler: string;
  /** Node: one CommonJS text in ASCII. Python: a zip with sources, compiled code and pilot.json. */
  readonly code: Uint8Array;
  /** sha256 of `code` in hex. */
  readonly digest: string;
  /** Source map (JSON) of a Node bundle; absent for Python, whose tracebacks name the right lines anyway. */
  readonly map?: Uint8Array;
  /** How many files went in. */
  readonly files: number;
  /** Whole sentences for the developer, at most LIMITS.bundleWarnings of them. */
  readonly warnings: readonly string[];
}

/** What a runtime's bundler hands over. */
export interface Packed {
  readonly handler: string;
  readonly code: Uint8Array;
  readonly map?: Uint8Array;
  readonly files: number;
  readonly warnings: readonly string[];
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Checks the size, names the digest. Throws Fault BundleTooLarge. */
export function seal(runtime: RuntimeName, packed: Packed): Bundle {
  if (packed.code.length > LIMITS.bundle.value) throw tooLarge(`The bundle has ${megabytes(packed.code.length)}`);
  const most = LIMITS.bundleWarnings.value;
  const over = packed.warnings.length - most;
  const warnings = over > 0 ? [...packed.warnings.slice(0, most - 1), `${over + 1} more warnings are not shown.`] : packed.warnings;
  return { ...packed, runtime, warnings, digest: sha256(packed.code) };
}

/** `what` is the beginning of a sentence: "The bundle has 70.0 MB". */
export function tooLarge(what: string): Fault {
  return new Fault("BundleTooLarge", `${what}; a bundle may have ${megabytes(LIMITS.bundle.value)} at most.`);
}

export function megabytes(bytes: number): string {
  return `${(bytes / (1024 * 1024)).toFixed(1)} MB`;
}

/** A path or name as it may stand in a message: one line, no control characters, not endless. */
export function shown(text: string): string {
  const short = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  return /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(short) ? JSON.stringify(short).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, "?") : short;
}
