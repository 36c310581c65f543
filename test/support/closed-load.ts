/** So many callers that each send the next call when the last is answered: as many calls a second as the machine gives, and the account of them. */
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { until } from "./until.ts";

/** Tells of each run by the number of its call. */
export const TELLS = `export const handler = async ({ n }, context) => { await context.publish("ran", n); return n; };`;

/** How long a call may wait for a place. */
const PLACE_MS = 20_000;

export interface ClosedLoad {
  /** Calls that were answered so far. */
  readonly answered: number;
  /** By the host that ran them, of one call in sixteen. */
  readonly hosts: ReadonlyMap<string, number>;
  /** No further calls; resolves when each is answered and every run of an answered call was told. */
  stop(): Promise<LoadAccount>;
}

export interface LoadAccount {
  readonly calls: number;
  readonly perSecond: number;
  /** Calls without a right answer, one sentence each. */
  readonly lost: readonly string[];
  /** Calls that ran more than once. */
  readonly doubled: readonly number[];
  /** By path: direct, frontend, keeper. Of one call in sixteen. */
  readonly paths: Readonly<Record<string, number>>;
}

/**
 * Functions must have TELLS for their code. `hearer` hears the runs; each of `callers` has `lanes` calls under way, each lane of the
 * next function in turn, so that a slow one holds up no other.
 */
export async function closedLoad(
  hearer: Connected,
  callers: readonly Connected[],
  functions: readonly string[],
  lanes: number,
): Promise<ClosedLoad> {
  const runs = new Map<number, number>();
  const lost: string[] = [];
  const paths: Record<string, number> = {};
  const hosts = new Map<string, number>();
  const account = { calls: 0, answered: 0 };
  const right: number[] = [];
  let going = true;
  const began = performance.now();
  const hearing = hearer.bus.listen("pilot.pub.main.ran", {}, ({ body }) => {
    const n = Number(new TextDecoder().decode(body));
    runs.set(n, (runs.get(n) ?? 0) + 1);
  });
  await hearer.nc.flush();

  const one = async (caller: Connected, at: number): Promise<void> => {
    const n = ++account.calls;
    const name = functions[at % functions.length] ?? "";
    const body = new TextEncoder().encode(JSON.stringify({ n }));
    const traced = n % 16 === 0;
    // On a machine that is busy with other things a boot may take longer than calls wait by themselves.
    const headers = { "Pilot-Deadline": String(PLACE_MS), ...(traced && { "Pilot-Trace": "1" }) };
    try {
      const reply = await caller.caller.call(SUBJECT.fn("main", name), body, { timeoutMs: 2 * PLACE_MS, headers });
      const text = new TextDecoder().decode(reply.body);
      if (text === String(n)) right.push(n);
      else lost.push(`call ${n} of ${name} got the answer ${text}`);
      const path = reply.headers["Pilot-Path"] ?? "";
      const host = reply.headers["Pilot-Host"] ?? "";
      if (traced) paths[path] = (paths[path] ?? 0) + 1;
      if (traced) hosts.set(host, (hosts.get(host) ?? 0) + 1);
    } catch (thrown) {
      const { name: error, message } = Fault.from(thrown);
      lost.push(`call ${n} of ${name}: ${error}: ${message}`);
      // A connection that is closed fails at once: others must have their turn.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    account.answered += 1;
  };
  const lane = async (caller: Connected, at: number): Promise<void> => {
    while (going && !caller.nc.isClosed()) await one(caller, at);
  };
  const running = callers.flatMap((caller) => Array.from({ length: lanes }, (_, at) => lane(caller, at)));

  return {
    get answered() {
      return account.answered;
    },
    hosts,
    async stop() {
      going = false;
      await Promise.all(running);
      const tookMs = performance.now() - began;
      await until(() => right.every((n) => runs.has(n)), "word of every run", 10_000);
      await hearing.stop();
      return {
        calls: account.calls,
        perSecond: account.calls / (tookMs / 1_000),
        lost,
        doubled: [...runs].filter(([, count]) => count > 1).map(([n]) => n),
        paths,
      };
    },
  };
}
