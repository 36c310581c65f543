/** What goes into a debug bundle: each part by itself, so that one that cannot be had is named and costs no other. */
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { FunctionRecord, VersionRecord } from "../../protocol/vocabulary.ts";

export interface Part {
  readonly name: string;
  readonly text: string;
}

export interface Collected {
  readonly parts: readonly Part[];
  /** Parts that could not be had, with why. */
  readonly missing: readonly { readonly name: string; readonly why: string }[];
  /** Values of environment variables of functions: they must be nowhere in the bundle. */
  readonly secrets: readonly string[];
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

/** Versions are asked for of so many functions at most. */
const FUNCTIONS = 1_000;

/** Never rejects. */
export async function collect(platform: Connected): Promise<Collected> {
  const { bus } = platform;
  const contracts = await import("../contracts.ts");
  const parts: Part[] = [];
  const missing: { name: string; why: string }[] = [];
  const secrets: string[] = [];
  const part = async (name: string, get: () => Promise<string>): Promise<void> => {
    try {
      parts.push({ name, text: await get() });
    } catch (thrown) {
      missing.push({ name, why: Fault.from(thrown).message });
    }
  };

  let nodes: string[] = [];
  await part("fleet.json", async () => {
    const fleet = await bus.ask(contracts.showFleet, [], {});
    nodes = fleet.nodes.map(({ id }) => id);
    return json(fleet);
  });
  await Promise.all(nodes.map((node) => part(`nodes/${node}.json`, async () => json(await bus.ask(contracts.inspectNode, [node], {})))));
  await part("metrics.txt", async () => {
    const { scrape } = await import("../../nodes/io/metrics-text.ts");
    return scrape(bus);
  });
  await part("registry.json", async () => {
    const { functions } = await bus.ask(contracts.listFunctions, [], {});
    const described = [];
    for (const record of functions.slice(0, FUNCTIONS)) {
      const { account, name } = record;
      const { versions } = await bus.ask(contracts.showFunction, [], { account, name });
      for (const { environment } of versions) secrets.push(...Object.values(environment));
      described.push(summary(record, versions));
    }
    const [accounts, pools] = await Promise.all([bus.ask(contracts.listAccounts, [], {}), bus.ask(contracts.listPools, [], {})]);
    return json({ functions: described, notDescribed: functions.length - described.length, ...accounts, ...pools });
  });
  await part("broker.json", async () => {
    const [{ viewBroker }, { viewStreams }] = await Promise.all([import("../../nodes/io/probe.ts"), import("../../nodes/io/streams.ts")]);
    return json({ ...(await viewBroker(platform)), stored: await viewStreams(platform) });
  });
  await part("limits.json", () => Promise.resolve(json(LIMITS)));
  return { parts, missing, secrets };
}

/** Without code; of environment variables the names only. */
function summary(record: FunctionRecord, versions: readonly VersionRecord[]): unknown {
  return {
    ...record,
    versions: versions.map(({ environment, ...version }) => ({ ...version, environment: Object.keys(environment) })),
  };
}
