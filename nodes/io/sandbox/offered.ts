/** Which runtimes this host can offer, and their versions. */
import type { RuntimeName } from "../../../protocol/runtimes.ts";
import { nodeInterpreter, pythonInterpreter } from "./interpreter.ts";

/** Runtime → text such as "python 3.11.2"; a runtime that is not here is left out. */
export function offeredRuntimes(): Partial<Record<RuntimeName, string>> {
  const python = pythonInterpreter();
  return { node: nodeInterpreter().version, ...(python !== undefined && { python: python.version }) };
}
