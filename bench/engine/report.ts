/** How answers look: a table for people, one line of JSON for programs, a section of docs/benchmarks.md. */
import Table from "cli-table3";
import type { Machine } from "./machine.ts";
import type { Answer, Figure } from "./question.ts";
import { TARGETS, type Target, verdictOf } from "./targets.ts";

/** An answer with where and when it was found. */
export interface Report extends Answer {
  readonly bench: string;
  readonly asks: string;
  readonly date: string;
  readonly quick: boolean;
  readonly machine: Machine;
}

const HEAD = ["WHAT", "MEDIAN", "MIN", "MAX", "ROUNDS", "GATE", "GOAL", "VERDICT"];

/** One line without a line break in it. */
export const jsonLine = (report: Report): string =>
  JSON.stringify({
    ...report,
    figures: report.figures.map((one) => ({ ...one, ...(one.target && { verdict: verdictOf(one.target, one.median) }) })),
  });

/** A table with the facts above and the notes below. */
export function tableText(report: Report): string {
  const table = new Table({ head: HEAD, style: { head: [], border: [] } });
  for (const one of report.figures) table.push(cells(one));
  return [`${report.bench}: ${report.asks}`, factsOf(report), table.toString(), ...afterwards(report)].join("\n");
}

/** The same for docs/benchmarks.md. */
export function markdown(report: Report): string {
  const row = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
  const rows = report.figures.map((one) => row(cells(one)));
  return [
    `## ${report.bench}`,
    "",
    report.asks,
    "",
    factsOf(report),
    "",
    row(HEAD.map((text) => text.toLowerCase())),
    row(HEAD.map(() => "---")),
    ...rows,
    "",
    ...afterwards(report).map((line) => `- ${line}`),
    "",
  ].join("\n");
}

/** True when a figure is beyond its gate. */
export const fails = (report: Report): boolean =>
  report.figures.some((one) => one.target !== undefined && verdictOf(one.target, one.median) === "missed");

function cells(one: Figure): string[] {
  const target: Target | undefined = one.target === undefined ? undefined : TARGETS[one.target];
  const bound = (value: number | undefined): string => (value === undefined ? "" : `${target?.better === "less" ? "≤" : "≥"} ${value}`);
  return [
    one.name,
    shown(one.median, one.unit),
    shown(one.min, one.unit),
    shown(one.max, one.unit),
    String(one.rounds),
    bound(target?.gate),
    bound(target?.goal),
    one.target === undefined ? "" : verdictOf(one.target, one.median),
  ];
}

/** Three digits are more than the noise allows, and enough. */
export function shown(value: number, unit: Figure["unit"]): string {
  const size = Math.abs(value);
  const text = size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : value.toFixed(3);
  if (unit === "x") return `${text}×`;
  return unit === "share" ? text : `${text} ${unit}`;
}

function factsOf({ machine, date, broker, quick }: Report): string {
  const { cpu, cores, memoryGiB, kernel, node, commit, loadBefore } = machine;
  const facts = [`${cpu}, ${cores} cores, ${memoryGiB} GiB`, `Linux ${kernel}`, `Node ${node}`];
  if (broker !== undefined) facts.push(`nats-server ${broker}`);
  facts.push(`commit ${commit ?? "unknown"}`, date, `load before ${loadBefore}`);
  if (quick) facts.push("quick: too few rounds to judge by");
  return facts.join("; ");
}

function afterwards(report: Report): string[] {
  return [`lost calls: ${report.lost}; doubled replies: ${report.doubled}`, ...report.notes];
}
