/** The nats-servers of other releases that are on this machine, for the matrix: the packaged one, those of PATH, and those that PILOT_TEST_BROKERS names. */
import { delimiter } from "node:path";
import { type FoundBroker, findBroker } from "../../nodes/io/broker/find.ts";

/** One server for each release line such as `2.10`, the first that was found of it. */
export async function brokersHere(): Promise<ReadonlyMap<string, FoundBroker>> {
  const named = (process.env["PILOT_TEST_BROKERS"] ?? "").split(delimiter).filter((path) => path !== "");
  const installed = (process.env["PATH"] ?? "").split(delimiter).concat("/usr/sbin", "/usr/local/sbin");
  const paths = [undefined, ...named, ...installed.map((directory) => `${directory}/nats-server`)];
  const found = new Map<string, FoundBroker>();
  for (const path of paths) {
    const one = await findBroker({ path, allowDownload: path === undefined }).catch(() => undefined);
    const line = /^\d+\.\d+/.exec(one?.version ?? "")?.[0];
    if (one !== undefined && line !== undefined && !found.has(line)) found.set(line, one);
  }
  return found;
}
