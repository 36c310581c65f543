/** The table of all conversations; a new file of contracts gets a line here. docs/subjects.md is made from it. */
import type { Event, Request } from "../contract.ts";
import * as call from "./call.ts";
import * as fleet from "./fleet.ts";
import * as host from "./host.ts";
import * as inspect from "./inspect.ts";
import * as logs from "./logs.ts";
import * as metrics from "./metrics.ts";
import * as node from "./node.ts";
import * as registry from "./registry.ts";
import * as sync from "./sync.ts";

/** Any conversation, for what treats them alike. Its subject takes as many words as it names. */
export type Contract = Request<readonly string[], unknown, unknown> | Event<readonly string[], unknown>;

/** Every contract with the file of messages/ that it is in, by file and name. */
export const CONTRACTS: readonly { readonly file: string; readonly contract: Contract }[] = Object.entries({
  call,
  fleet,
  host,
  inspect,
  logs,
  node,
  metrics,
  registry,
  sync,
}).flatMap(([file, exports]) =>
  Object.values(exports as Record<string, unknown>)
    .filter(isContract)
    .map((contract) => ({ file, contract })),
);

function isContract(value: unknown): value is Contract {
  return typeof value === "object" && value !== null && "kind" in value && "subject" in value && "meaning" in value;
}
