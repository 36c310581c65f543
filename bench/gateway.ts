/** What does the gateway cost, beside a bare HTTP echo and the same warm call without it? */
import { spread } from "./engine/figures.ts";
import { ECHO } from "./engine/handlers.ts";
import { openHttpClient, startHttpEcho } from "./engine/http.ts";
import { type Call, closedLoop, type Sample } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { chosenPort } from "./engine/ports.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";
import { interleave, type Subject } from "./engine/rounds.ts";
import { type Sum, sumUp } from "./engine/sum.ts";
import type { TargetName } from "./engine/targets.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const CONTAINERS = 4;
const SIZE = 1_024;

interface Case {
  readonly inFlight: number;
  readonly label: string;
  readonly target?: TargetName;
}

const CASES: readonly Case[] = [
  { inFlight: 1, label: "1 in flight, 1 KiB", target: "gateway-p50" },
  { inFlight: 32, label: "32 in flight, 1 KiB" },
];

export const gateway: Question = {
  asks: "How long does a warm call by HTTP take, beside a bare HTTP echo and the same call by NATS?",
  async measure(effort): Promise<Answer> {
    const port = await chosenPort();
    const platform = await startPlatform({ gateway: true, http: `127.0.0.1:${port}` });
    const sum = sumUp();
    const client = openHttpClient();
    const echo = await startHttpEcho();
    try {
      await platform.deploy(ACCOUNT, NAME, { source: ECHO, runtime: "node" }, { class: "busy", containers: CONTAINERS });
      const calls = {
        http: client.calls(echo.port, "/"),
        nats: platform.calls(ACCOUNT, NAME),
        gateway: client.calls(port, `/fn/${ACCOUNT}/${NAME}`),
      };
      await warmUp(platform, calls, effort);
      const figures: Figure[] = [];
      for (const one of CASES) {
        effort.say(`gateway: ${one.label}`);
        figures.push(...(await measureCase(calls, one, effort, sum)));
      }
      return {
        figures,
        lost: sum.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes: [
          ...sum.notes(),
          "the same HTTP client asks the bare echo and the gateway; each is a process of its own, and all share the machine",
          "the ratio is taken within each round: gateway / (bare echo + warm call by NATS)",
        ],
      };
    } finally {
      client.close();
      await echo.child.stop();
      await platform.stop();
    }
  },
};

type Calls = Readonly<Record<"http" | "nats" | "gateway", Call>>;

/** A grant stands, and every connection is made. */
async function warmUp(platform: Platform, calls: Calls, effort: Effort): Promise<void> {
  // Until the engine has compiled what each path runs: a gateway does more per request than an echo, and is not warm as early.
  const ms = effort.quick ? 300 : 4_000;
  await closedLoop(calls.nats, { inFlight: 16, size: 16, ms: 1_000 });
  await platform.untilFleet("the host has a grant", (host) => host.grants.some((grant) => grant.account === ACCOUNT));
  for (const call of Object.values(calls)) await closedLoop(call, { inFlight: 32, size: SIZE, ms });
}

async function measureCase(calls: Calls, { inFlight, label, target }: Case, effort: Effort, sum: Sum): Promise<Figure[]> {
  const subject = (name: keyof Calls): Subject<Sample> => ({
    name,
    measure: async (ms) => sum.add(await closedLoop(calls[name], { inFlight, size: SIZE, ms })),
  });
  const results = await interleave([subject("http"), subject("nats"), subject("gateway")], effort);
  const of = (name: keyof Calls, pick: (sample: Sample) => number): number[] => (results.get(name) ?? []).map(pick);
  const p50 = (name: keyof Calls): number[] => of(name, (sample) => sample.p50);
  const [bare, nats] = [p50("http"), p50("nats")];
  const against = p50("gateway").map((value, round) => value / ((bare[round] ?? Number.NaN) + (nats[round] ?? Number.NaN)));
  return [
    figure(`bare HTTP echo p50, ${label}`, "ms", spread(bare)),
    figure(`warm call by NATS p50, ${label}`, "ms", spread(nats)),
    figure(`gateway p50, ${label}`, "ms", spread(p50("gateway"))),
    figure(`gateway p99, ${label}`, "ms", spread(of("gateway", (sample) => sample.p99))),
    figure(`gateway throughput, ${label}`, "/s", spread(of("gateway", (sample) => sample.perSecond))),
    figure(`gateway p50 / (echo + NATS), ${label}`, "x", spread(against), target),
  ];
}
