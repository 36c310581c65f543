/** What do several hosts on one machine give, and which part limits them? */
import { provisionContainer } from "../protocol/messages/host.ts";
import { ratio, spread } from "./engine/figures.ts";
import { type Floor, startFloor } from "./engine/floor.ts";
import { ECHO } from "./engine/handlers.ts";
import { closedLoop, type Sample } from "./engine/load.ts";
import { type Platform, startPlatform } from "./engine/platform.ts";
import { cpuClock, treeOf } from "./engine/processes.ts";
import { type Answer, type Effort, type Figure, figure, type Question } from "./engine/question.ts";
import { interleave, type Subject } from "./engine/rounds.ts";
import { type Sum, sumUp } from "./engine/sum.ts";

const ACCOUNT = "bench";
const NAME = "echo";
const SIZE = 1_024;
const MEMORY_MB = 128;
const COUNTS = [1, 2, 4] as const;
/** In all, on however many hosts. */
const CONTAINERS = 4;
const KEEP_ALIVE_MS = 600_000;
/** For each host. */
const WARM_UP_MS = 2_000;

interface Form {
  readonly hosts: number;
  readonly platform: Platform;
  readonly floor: Floor;
}

/** The parts among which the processor is shared, and which processes they are. */
const PARTS: Readonly<Record<string, (form: Form) => readonly number[]>> = {
  caller: () => [process.pid],
  broker: ({ platform }) => [platform.pidOf("broker") ?? 0],
  "frontend and scheduler": ({ platform }) => ["frontend-1", "scheduler-1"].map((name) => platform.pidOf(name) ?? 0),
  "host agents": (form) => agents(form),
  containers: (form) => agents(form).flatMap((agent) => treeOf(agent).flatMap(({ pid }) => (pid === agent ? [] : [pid]))),
};

const agents = ({ hosts, platform }: Form): number[] =>
  Array.from({ length: hosts }, (_, index) => platform.pidOf(`host-${index + 1}`) ?? 0);

export const hosts: Question = {
  asks: "What do 2 and 4 hosts on one machine give beside 1, with the same number of containers, and what limits them?",
  async measure(effort): Promise<Answer> {
    const sum = sumUp();
    const forms: Form[] = [];
    try {
      for (const count of COUNTS) {
        effort.say(`hosts: starting ${count}`);
        forms.push(await startForm(count));
      }
      const figures: Figure[] = [];
      for (const inFlight of [1, 64]) {
        effort.say(`hosts: ${inFlight} in flight`);
        figures.push(...(await compare(forms, inFlight, effort, sum)));
      }
      for (const form of forms) figures.push(...(await shares(form, effort, sum)));
      return {
        figures,
        lost: sum.lost,
        doubled: forms.reduce((total, { platform }) => total + platform.caller.doubled, 0) + sum.wrong,
        ...(forms[0] !== undefined && { broker: forms[0].platform.broker }),
        notes: [
          ...sum.notes(),
          `${CONTAINERS} containers in all, spread evenly; each form has a broker, frontend and scheduler of its own, the others stand idle meanwhile`,
          "cpu: of what all parts used together at 64 in flight; good to 10 ms per process and round",
        ],
      };
    } finally {
      for (const { floor, platform } of forms.reverse()) {
        await floor.stop();
        await platform.stop();
      }
    }
  },
};

async function startForm(count: number): Promise<Form> {
  const platform = await startPlatform({ hosts: count, warm: { node: 1, python: 0 } });
  try {
    await platform.deploy(
      ACCOUNT,
      NAME,
      { source: ECHO, runtime: "node" },
      { class: "busy", containers: CONTAINERS, memoryMb: MEMORY_MB, keepAliveMs: KEEP_ALIVE_MS },
    );
    for (let host = 1; host <= count; host += 1) await provision(platform, `host-${host}`, CONTAINERS / count);
    await platform.untilFleet("a grant on each host", (host) => host.grants.length > 0);
    // Each host is compiled by its own calls, of which it gets a part.
    await closedLoop(platform.calls(ACCOUNT, NAME), { inFlight: 64, size: SIZE, ms: WARM_UP_MS * count });
    for (let host = 1; host <= count; host += 1)
      await platform.untilFleet(`a grant on host-${host}`, ({ id, grants }) => id === `host-${host}` && grants.length > 0);
    return { hosts: count, platform, floor: await startFloor(platform.context, platform.caller) };
  } catch (thrown) {
    await platform.stop();
    throw thrown;
  }
}

/** So many containers of the function on that very host. */
async function provision(platform: Platform, host: string, count: number): Promise<void> {
  const order = { account: ACCOUNT, function: NAME, version: 1, memoryMb: MEMORY_MB, keepAliveMs: KEEP_ALIVE_MS };
  await platform.untilFleet(
    `a warm instance on ${host}`,
    ({ id, instances }) => id === host && instances.some(({ state }) => state === "warm"),
  );
  await platform.connection.bus.ask(provisionContainer, [host], { ...order, rung: "warm" });
  const { hosts: all } = await platform.fleet();
  const instance = all.find(({ id }) => id === host)?.instances.find(({ account }) => account === ACCOUNT)?.id ?? "";
  for (let more = 1; more < count; more += 1)
    await platform.connection.bus.ask(provisionContainer, [host], { ...order, rung: "cached", instance });
}

async function compare(forms: readonly Form[], inFlight: number, effort: Effort, sum: Sum): Promise<Figure[]> {
  const subjects = forms.flatMap(({ hosts: count, floor, platform }): Subject<Sample>[] => [
    { name: `floor ${count}`, measure: async (ms) => sum.add(await closedLoop(floor.call, { inFlight, size: SIZE, ms })) },
    {
      name: `direct ${count}`,
      measure: async (ms) => sum.add(await closedLoop(platform.calls(ACCOUNT, NAME), { inFlight, size: SIZE, ms })),
    },
  ]);
  const results = await interleave(subjects, effort);
  const of = (name: string, key: "p50" | "p99" | "perSecond"): number[] => (results.get(name) ?? []).map((sample) => sample[key]);
  const label = `${inFlight} in flight, 1 KiB`;
  return COUNTS.flatMap((count) => [
    figure(`throughput, hosts ${count}, ${label}`, "/s", spread(of(`direct ${count}`, "perSecond"))),
    figure(
      `throughput / floor, hosts ${count}, ${label}`,
      "x",
      ratio(of(`direct ${count}`, "perSecond"), of(`floor ${count}`, "perSecond")),
    ),
    figure(`p50 / floor, hosts ${count}, ${label}`, "x", ratio(of(`direct ${count}`, "p50"), of(`floor ${count}`, "p50"))),
    ...(count === 1
      ? []
      : [figure(`throughput, hosts ${count} / 1, ${label}`, "x", ratio(of(`direct ${count}`, "perSecond"), of("direct 1", "perSecond")))]),
  ]);
}

/** Which part used how much of the processor at full load. */
async function shares(form: Form, effort: Effort, sum: Sum): Promise<Figure[]> {
  const found = new Map<string, number[]>(Object.keys(PARTS).map((part) => [part, []]));
  for (let round = 0; round < effort.rounds; round += 1) {
    const clocks = Object.entries(PARTS).map(([part, pidsOf]) => {
      const pids = pidsOf(form);
      return [part, cpuClock(() => pids)] as const;
    });
    sum.add(await closedLoop(form.platform.calls(ACCOUNT, NAME), { inFlight: 64, size: SIZE, ms: effort.ms }));
    const used = clocks.map(([part, clock]) => [part, clock.stop()] as const);
    const all = used.reduce((total, [, ms]) => total + ms, 0);
    for (const [part, ms] of used) found.get(part)?.push(ms / all);
  }
  return [...found].map(([part, values]) => figure(`cpu of ${part}, hosts ${form.hosts}`, "share", spread(values)));
}
