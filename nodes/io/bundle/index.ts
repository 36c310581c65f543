/** Deploy's first half: a file, a directory or a text becomes an immutable bundle. */
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { RUNTIMES } from "../../../runtimes/index.ts";
import { type Bundle, type Packed, seal } from "./bundle.ts";
import { type BundleOptions, checkSource, type Entry, findEntry, splitHandler } from "./entry.ts";
import { packNode, packNodeSource } from "./node.ts";
import { packPython, packPythonSource } from "./python.ts";

export type { Bundle } from "./bundle.ts";
export type { BundleOptions } from "./entry.ts";

const FROM_FILES = { node: packNode, python: packPython } as const satisfies Record<RuntimeName, (entry: Entry) => Promise<Packed>>;
const FROM_SOURCE = { node: packNodeSource, python: packPythonSource } as const satisfies Record<
  RuntimeName,
  (source: string, handler: Pick<Entry, "handler" | "handlerNamed">) => Promise<Packed>
>;

/**
 * Bundles what is at `path` on this machine. TypeScript's types are stripped, not checked.
 * Throws Fault BadRequest (nothing there that could be deployed), BadCode (with file:line:column and the source line)
 * or BundleTooLarge (sizes are added up before anything is read).
 */
export async function makeBundle(path: string, options: BundleOptions = {}): Promise<Bundle> {
  const entry = await findEntry(path, options);
  return seal(entry.runtime, await FROM_FILES[entry.runtime](entry));
}

/**
 * Bundles code that came inside a request: hostile input, so no file is looked at and nothing but built-in modules
 * can be imported. Throws Fault BadRequest, BadCode, PayloadTooLarge (over LIMITS.inlineSource).
 */
export async function bundleSource(source: string, runtime: RuntimeName, handler?: string): Promise<Bundle> {
  const bytes = Buffer.byteLength(source);
  const most = LIMITS.inlineSource.value;
  if (bytes > most)
    throw new Fault("PayloadTooLarge", `Code inside a request may have ${most} bytes; this has ${bytes}. Deploy it instead.`);
  checkSource("The code", Buffer.from(source), runtime);
  const named = splitHandler(handler);
  if (named?.module !== undefined)
    throw new Fault("BadRequest", "The handler of code inside a request is the name of a function, without a module.");
  const chosen = { handler: named?.name ?? RUNTIMES[runtime].handler, handlerNamed: named !== undefined };
  return seal(runtime, await FROM_SOURCE[runtime](source, chosen));
}
