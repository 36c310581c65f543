/** One folder of examples/ as its `pilot.json` describes it, and whether a reply is what it promises. */
import { isDeepStrictEqual } from "node:util";
import { readExampleFiles } from "../../nodes/io/examples.ts";
import type { Fault } from "../../protocol/errors.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";

export interface Example {
  /** Path of the folder. */
  readonly folder: string;
  readonly name: string;
  readonly runtime?: RuntimeName;
  readonly handler?: string;
  readonly environment?: Record<string, string>;
  readonly body: Uint8Array;
  /** A sentence on what is wrong with a reply; undefined when it is as promised. */
  judge(reply: Uint8Array): string | undefined;
  /** The same for a call that failed. */
  judgeFault(fault: Fault): string | undefined;
}

interface Described {
  readonly name: string;
  readonly runtime?: RuntimeName;
  readonly handler?: string;
  readonly environment?: Record<string, string>;
  readonly event?: unknown;
  readonly eventBase64?: string;
  readonly expect?: unknown;
  readonly expectBase64?: string;
  readonly expectError?: { readonly name: string; readonly message: string };
}

/** All examples below `<root>/examples`, in the order of the course. */
export async function readExamples(root: string): Promise<Example[]> {
  return (await readExampleFiles(root)).map(({ folder, description }) => exampleOf(folder, description));
}

function exampleOf(folder: string, description: string): Example {
  const described = JSON.parse(description) as Described;
  const { name, runtime, handler, environment, expectError } = described;
  return {
    folder,
    name,
    ...(runtime !== undefined && { runtime }),
    ...(handler !== undefined && { handler }),
    ...(environment !== undefined && { environment }),
    body: bodyOf(described),
    judge: (reply) => judge(described, reply),
    judgeFault(fault) {
      if (expectError === undefined) return `${fault.name}: ${fault.message}`;
      if (fault.name === expectError.name && fault.message.includes(expectError.message)) return undefined;
      return `expected ${expectError.name} (${expectError.message}), got ${fault.name}: ${fault.message}`;
    },
  };
}

function bodyOf({ event, eventBase64 }: Described): Uint8Array {
  if (eventBase64 !== undefined) return Buffer.from(eventBase64, "base64");
  return event === undefined ? new Uint8Array(0) : new TextEncoder().encode(JSON.stringify(event));
}

function judge({ expect, expectBase64, expectError }: Described, reply: Uint8Array): string | undefined {
  if (expectError !== undefined) return `expected ${expectError.name}, got a reply`;
  if (expectBase64 !== undefined) {
    const found = Buffer.from(reply).toString("base64");
    return found === expectBase64 ? undefined : `expected the bytes ${expectBase64}, got ${found}`;
  }
  if (expect === undefined) return undefined;
  const text = new TextDecoder().decode(reply);
  try {
    if (isDeepStrictEqual(JSON.parse(text), expect)) return undefined;
  } catch {
    // said below
  }
  return `expected ${JSON.stringify(expect)}, got ${text.slice(0, 200)}`;
}
