/** How long does a warm call take, beside a bare NATS request on the same server with the same bytes? */
import type { Spread } from "./engine/figures.ts";
import { ratio, spread } from "./engine/figures.ts";
import { type Floor, startFloor } from "./engine/floor.ts";
import { ECHO } from "./engine/handlers.ts";
import { type Call, closedLoop, numbered, type Sample } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { cpuClock } from "./engine/processes.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";
import { interleave, type Subject } from "./engine/rounds.ts";
import { type Sum, sumUp } from "./engine/sum.ts";
import type { TargetName } from "./engine/targets.ts";

/** A sample with what all processes that took part used, in µs of cpu per call. */
interface Measured extends Sample {
  readonly cpuPerCall: number;
}

/** Two accounts, hence two instances: neither function takes room from the other. */
const DIRECT = { account: "bench-direct", name: "echo" };
const FRONTEND = { account: "bench-frontend", name: "echo" };
const CONTAINERS = 4;
const KIB = 1024;

interface Case {
  readonly inFlight: number;
  readonly size: number;
  readonly label: string;
  /** Targets of the direct call. */
  readonly p50?: TargetName;
  readonly p99?: TargetName;
  readonly throughput?: TargetName;
  readonly cpu?: TargetName;
}

const CASES: readonly Case[] = [
  { inFlight: 1, size: 16, label: "1 in flight, 16 B" },
  { inFlight: 1, size: KIB, label: "1 in flight, 1 KiB", p50: "warm-p50-1", p99: "warm-p99" },
  { inFlight: 1, size: 64 * KIB, label: "1 in flight, 64 KiB", p50: "warm-p50-64k" },
  { inFlight: 64, size: 16, label: "64 in flight, 16 B" },
  {
    inFlight: 64,
    size: KIB,
    label: "64 in flight, 1 KiB",
    p50: "warm-p50-64",
    p99: "warm-p99",
    throughput: "warm-throughput",
    cpu: "warm-cpu",
  },
  { inFlight: 64, size: 64 * KIB, label: "64 in flight, 64 KiB" },
];

export const warm: Question = {
  asks: "How long does a warm call take, beside a bare NATS request with the same client, server and bytes?",
  async measure(effort): Promise<Answer> {
    const platform = await startPlatform();
    const sum = sumUp();
    let floor: Floor | undefined;
    try {
      await platform.deploy(DIRECT.account, DIRECT.name, { source: ECHO, runtime: "node" }, { class: "busy", containers: CONTAINERS });
      await platform.deploy(
        FRONTEND.account,
        FRONTEND.name,
        { source: ECHO, runtime: "node" },
        { class: "busy", containers: CONTAINERS, direct: false },
      );
      floor = await startFloor(platform.context, platform.caller);
      await warmUp(platform, effort);
      const figures: Figure[] = [];
      for (const one of effort.quick ? CASES.filter(({ size }) => size === KIB) : CASES) {
        effort.say(`warm: ${one.label}`);
        figures.push(...(await measureCase(platform, floor, one, effort, sum)));
      }
      figures.push(figure("direct share of a busy function, 16 in flight", "share", await directShare(platform, effort), "direct-share"));
      return {
        figures,
        lost: sum.lost,
        doubled: platform.caller.doubled + sum.wrong,
        broker: platform.broker,
        notes: [
          ...sum.notes(),
          `the function may have ${CONTAINERS} containers; "frontend" is the same function with direct calls switched off`,
          "cpu: all processes that take part, this client too; good to 10 ms per process and round",
        ],
      };
    } finally {
      await floor?.stop();
      await platform.stop();
    }
  },
};

/** Grants go out when containers stand; what is measured is the state after that. */
async function warmUp(platform: Platform, effort: Effort): Promise<void> {
  for (const { account, name } of [DIRECT, FRONTEND])
    await closedLoop(platform.calls(account, name), { inFlight: 16, size: 16, ms: effort.quick ? 300 : 1_000 });
  await platform.untilFleet("the host has a grant", (host) => host.grants.some((grant) => grant.account === DIRECT.account));
  await closedLoop(platform.calls(DIRECT.account, DIRECT.name), { inFlight: 16, size: 16, ms: effort.quick ? 300 : 1_000 });
}

async function measureCase(platform: Platform, floor: Floor, one: Case, effort: Effort, sum: Sum): Promise<Figure[]> {
  const subject = (name: string, call: Call, pids: () => readonly number[]): Subject<Measured> => ({
    name,
    async measure(ms) {
      const all = [process.pid, ...pids()];
      const cpu = cpuClock(() => all);
      const sample = sum.add(await closedLoop(call, { inFlight: one.inFlight, size: one.size, ms }));
      return { ...sample, cpuPerCall: (cpu.stop() * 1_000) / sample.calls };
    },
  });
  const results = await interleave(
    [
      subject("floor", floor.call, () => [floor.pid, platform.pidOf("broker") ?? 0]),
      subject("direct", platform.calls(DIRECT.account, DIRECT.name), () => platform.pids()),
      subject("frontend", platform.calls(FRONTEND.account, FRONTEND.name), () => platform.pids()),
    ],
    effort,
  );
  const of = (name: string, pick: (sample: Measured) => number): number[] => (results.get(name) ?? []).map(pick);
  const against = (name: string, pick: (sample: Measured) => number): Spread => ratio(of(name, pick), of("floor", pick));
  const rows: Figure[] = [
    figure(`floor p50, ${one.label}`, "ms", spread(of("floor", (sample) => sample.p50))),
    figure(`floor throughput, ${one.label}`, "/s", spread(of("floor", (sample) => sample.perSecond))),
    figure(`floor cpu per call, ${one.label}`, "µs", spread(of("floor", (sample) => sample.cpuPerCall))),
  ];
  for (const name of ["direct", "frontend"]) {
    const target = (wanted: TargetName | undefined): TargetName | undefined => (name === "direct" ? wanted : undefined);
    rows.push(
      figure(`${name} p50, ${one.label}`, "ms", spread(of(name, (sample) => sample.p50))),
      figure(`${name} throughput, ${one.label}`, "/s", spread(of(name, (sample) => sample.perSecond))),
      figure(
        `${name} p50 / floor, ${one.label}`,
        "x",
        against(name, (sample) => sample.p50),
        target(one.p50),
      ),
      figure(
        `${name} p99 / floor, ${one.label}`,
        "x",
        against(name, (sample) => sample.p99),
        target(one.p99),
      ),
      figure(
        `${name} throughput / floor, ${one.label}`,
        "x",
        against(name, (sample) => sample.perSecond),
        target(one.throughput),
      ),
      figure(
        `${name} cpu per call / floor, ${one.label}`,
        "x",
        against(name, (sample) => sample.cpuPerCall),
        target(one.cpu),
      ),
    );
  }
  return rows;
}

/** Share of the calls that a host answered at the desk itself, from traced calls among others. */
async function directShare(platform: Platform, effort: Effort): Promise<Spread> {
  const shares: number[] = [];
  for (let round = 0; round < effort.rounds; round += 1) {
    let direct = 0;
    let all = 0;
    const end = performance.now() + effort.ms;
    const load = closedLoop(platform.calls(DIRECT.account, DIRECT.name), { inFlight: 15, size: 16, ms: effort.ms });
    while (performance.now() < end) {
      const { path } = await platform.traced(DIRECT.account, DIRECT.name, numbered(16));
      all += 1;
      if (path === "direct") direct += 1;
    }
    await load;
    shares.push(direct / all);
  }
  return spread(shares);
}
