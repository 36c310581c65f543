/** Deploys every example into the default account, calls each once, and climbs the whole ladder with one per language. */
import { makeBundle } from "../../nodes/io/bundle/index.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { DEFAULT_ACCOUNT } from "../../protocol/names.ts";
import { publish } from "../publish.ts";
import { placedCall } from "./call.ts";
import type { Example } from "./example.ts";
import { climb, warmInstance } from "./ladder.ts";

export interface TourRow {
  readonly name: string;
  readonly runtime: string;
  readonly rung: string;
  readonly path: string;
  readonly totalMs: number | undefined;
  readonly startMs: number | undefined;
  /** `ok`, or what is not as promised. */
  readonly remark: string;
  readonly wrong: boolean;
}

/** The examples that climb: the first of each kind of source. */
const CLIMBERS: Readonly<Record<string, string>> = { hello: "node", total: "node (TypeScript)", words: "python" };

/** Resolves with the rows of the table; `signal` ends it early. Rejects with a Fault when a deploy or the platform fails. */
export async function tour(
  platform: Connected,
  examples: readonly Example[],
  say: (sentence: string) => void,
  signal: AbortSignal,
): Promise<TourRow[]> {
  const rows: TourRow[] = [];
  const climbers: (() => Promise<TourRow[]>)[] = [];
  say("waiting for the pilot light: instances that are booted and belong to nobody");
  for (const runtime of ["node", "python"]) await warmInstance(platform, runtime, signal);
  for (const example of examples) {
    signal.throwIfAborted();
    say(`deploying and calling ${example.name}`);
    const { runtime, handler, environment } = example;
    const bundle = await makeBundle(example.folder, { ...(runtime && { runtime }), ...(handler && { handler }) });
    await publish(platform, bundle, {
      account: DEFAULT_ACCOUNT,
      name: example.name,
      ...(environment && { environment }),
    });
    const { wrong, ...placed } = await placedCall(platform, example, { account: DEFAULT_ACCOUNT, name: example.name, signal });
    const language = CLIMBERS[example.name];
    rows.push({
      ...placed,
      name: example.name,
      runtime: language ?? bundle.runtime,
      remark: wrong ?? "ok",
      wrong: wrong !== undefined,
    });
    if (language === undefined) continue;
    climbers.push(async () => {
      say(`provoking every rung with ${example.name}`);
      const steps = await climb(platform, example, bundle, signal);
      return steps.map(({ wanted, placed: step }) => ({
        name: example.name,
        runtime: language,
        rung: step?.rung ?? (wanted === "direct" ? "hot" : (wanted ?? "-")),
        path: step?.path ?? (wanted === "direct" ? "direct" : "-"),
        totalMs: step?.totalMs,
        startMs: step?.startMs,
        remark: step === undefined ? "not reached this time" : (step.wrong ?? "ok"),
        wrong: step?.wrong !== undefined,
      }));
    });
  }
  for (const climber of climbers) {
    signal.throwIfAborted();
    rows.push(...(await climber()));
  }
  return rows;
}
