/** `pilot top` as lines of text: the same for a screen, where they are cut to its size, and for a pipe. */
import { bytes, milliseconds, tableText } from "../output.ts";
import type { FunctionRow, HostRow, NodeRow, TopView } from "./view.ts";

const MB = 1_000_000;

export function topLines(view: TopView): string[] {
  const { totals } = view;
  const head = [
    `${rate(totals.callsPerS)} calls/s`,
    `${rate(totals.failuresPerS)} failed/s`,
    `${percent(totals.directShare)} direct`,
    `${totals.waiting} waiting`,
    `${totals.busy} busy and ${totals.idle} idle containers`,
    `${bytes(totals.usedMb * MB)} of ${bytes(totals.memoryMb * MB)} promised`,
  ];
  return [
    head.join(", "),
    ...(view.silent.length > 0 ? [`no answer from ${view.silent.join(", ")}`] : []),
    "",
    ...lines(["HOST", "STATE", "MEMORY", "CPU", "CALLS/S", "INSTANCES", "CONTAINERS"], view.hosts.map(hostCells), "no hosts"),
    "",
    ...lines(
      ["POOL", "SIZE", "WARM", "WANTED"],
      view.pools.map(({ runtime, memoryMb, warm, wanted }) => [runtime, `${memoryMb} MB`, warm, wanted]),
      "no pools",
    ),
    "",
    ...lines(["NODE", "ROLE", "HOLDS", "ERRORS/S", "MEMORY", "LATE"], view.nodes.map(nodeCells), "no other nodes"),
    "",
    ...lines(
      ["FUNCTION", "CALLS/S", "FAILED/S", "P50", "P99", "DIRECT", "WAITING", "RUNGS"],
      view.functions.map(functionCells),
      "no calls yet",
    ),
  ];
}

type Cells = (string | number | undefined)[];

const lines = (head: readonly string[], rows: readonly Cells[], nothing: string): string[] =>
  rows.length === 0 ? [nothing] : tableText(head, rows).split("\n");

const hostCells = ({ id, state, usedMb, memoryMb, cpu, callsPerS, instances, containers }: HostRow): Cells => [
  id,
  state,
  state === "silent" ? "" : `${usedMb}/${memoryMb} MB`,
  cpu === undefined ? "" : percent(cpu),
  rate(callsPerS),
  listed(instances),
  listed(containers),
];

const nodeCells = ({ id, role, held, errorsPerS, memoryBytes, lateMs }: NodeRow): Cells => [
  id,
  role,
  held,
  rate(errorsPerS),
  bytes(memoryBytes),
  milliseconds(lateMs),
];

const functionCells = (row: FunctionRow): Cells => [
  `${row.account}/${row.function}`,
  rate(row.callsPerS),
  rate(row.failuresPerS),
  row.p50Ms === undefined ? "" : milliseconds(row.p50Ms),
  row.p99Ms === undefined ? "" : milliseconds(row.p99Ms),
  row.callsPerS === 0 ? "" : percent(row.directShare),
  row.waiting,
  Object.entries(row.rungs)
    .sort(([, a], [, b]) => b - a)
    .map(([rung, share]) => `${rung} ${percent(share)}`)
    .join(", "),
];

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([state, count]) => `${count} ${state}`)
    .join(", ");

const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;

const rate = (perS: number): string => (perS === 0 ? "0" : perS < 10 ? perS.toFixed(1) : perS.toFixed(0));
