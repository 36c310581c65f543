/** What a call needs of a host, as the immutable record of its version says. */
import { LIMITS } from "../../../protocol/limits.ts";
import type { OrderedCode } from "../../../protocol/messages/call.ts";
import type { RuntimeName } from "../../../protocol/runtimes.ts";
import type { VersionRecord } from "../../../protocol/vocabulary.ts";

export interface Needs {
  readonly runtime: RuntimeName;
  readonly network: boolean;
  /** Undefined for inline code. */
  readonly version: VersionRecord | undefined;
}

const encoder = new TextEncoder();

/** What the order of a container says of its code; undefined where the host has to read the record. */
export function orderedCode({ version }: Needs): OrderedCode | undefined {
  if (version === undefined) return undefined;
  const { digest, runtime, handler, environment, network } = version;
  let room = LIMITS.orderedEnvironment.value;
  for (const name in environment) {
    room -= encoder.encode(name).length + encoder.encode(environment[name]).length;
    if (room < 0) return undefined;
  }
  return { digest, runtime, handler, environment, network };
}
