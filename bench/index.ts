/**
 * `npm run bench -- NAME…`: asks the questions one after another and prints what was found.
 * Exit codes: 0 measured; 1 a call was lost or doubled, or with --gate a figure is beyond its gate; 2 usage; 3 it could not be measured.
 */
import { join } from "node:path";
import { Fault } from "../protocol/errors.ts";
import { boots } from "./boots.ts";
import { edge } from "./edge.ts";
import { endAll } from "./engine/ending.ts";
import { machineFacts } from "./engine/machine.ts";
import { type Options, readOptions } from "./engine/options.ts";
import type { Effort, Question } from "./engine/question.ts";
import { writeRecord } from "./engine/record.ts";
import { fails, jsonLine, markdown, type Report, tableText } from "./engine/report.ts";
import { projectRoot } from "./engine/root.ts";
import { event } from "./event.ts";
import { gateway } from "./gateway.ts";
import { hosts } from "./hosts.ts";
import { instances } from "./instances.ts";
import { peers } from "./peers.ts";
import { queueing } from "./queueing.ts";
import { rungs } from "./rungs.ts";
import { scale } from "./scale.ts";
import { storm } from "./storm.ts";
import { warm } from "./warm.ts";

const QUESTIONS: Readonly<Record<string, Question>> = {
  warm,
  peers,
  rungs,
  event,
  boots,
  queueing,
  storm,
  scale,
  instances,
  hosts,
  edge,
  gateway,
};

const ROUNDS = 8;
const QUICK_ROUNDS = 3;
const ROUND_MS = 400;
const QUICK_MS = 300;

const list = (): string =>
  Object.entries(QUESTIONS)
    .map(([name, { asks }]) => `  ${name.padEnd(10)} ${asks}`)
    .join("\n");

const usage = (): string => `npm run bench -- NAME… [--json] [--quick] [--write] [--gate] [--rounds N] [--ms N]

Questions (or \`all\`):
${list()}

  --json      one line of JSON per question instead of a table
  --quick     ${QUICK_ROUNDS} short rounds: shows that it works, not how fast it is
  --write     puts the tables into docs/benchmarks.md
  --gate      exit code 1 when a figure is beyond its gate
  --rounds N  rounds (default ${ROUNDS})
  --ms N      length of one measurement (default ${ROUND_MS})
  --list      names only

Examples:
  npm run bench -- warm
  npm run bench -- warm peers --json
  npm run bench -- all --write`;

async function main(words: readonly string[]): Promise<number> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
    return 2;
  }
  if (options.list) process.stdout.write(`${Object.keys(QUESTIONS).join("\n")}\n`);
  else if (options.help || options.names.length === 0) process.stdout.write(`${usage()}\n`);
  if (options.list || options.help) return 0;
  const names = options.names.includes("all") ? Object.keys(QUESTIONS) : options.names;
  const unknown = names.filter((name) => !Object.hasOwn(QUESTIONS, name));
  if (unknown.length > 0) process.stderr.write(`there is no benchmark called ${unknown.join(", ")}; see --list\n`);
  if (names.length === 0 || unknown.length > 0) return 2;
  return ask(names, options);
}

async function ask(names: readonly string[], options: Options): Promise<number> {
  const root = projectRoot();
  const effort: Effort = {
    rounds: options.rounds ?? (options.quick ? QUICK_ROUNDS : ROUNDS),
    ms: options.ms ?? (options.quick ? QUICK_MS : ROUND_MS),
    quick: options.quick,
    say: (sentence) => void process.stderr.write(`${sentence}\n`),
  };
  const sections = new Map<string, string>();
  let code = 0;
  for (const name of names) {
    const question = QUESTIONS[name];
    if (question === undefined) continue;
    const machine = await machineFacts(root);
    try {
      const answer = await question.measure(effort);
      const report: Report = {
        bench: name,
        asks: question.asks,
        date: new Date().toISOString().slice(0, 10),
        quick: options.quick,
        machine,
        ...answer,
      };
      process.stdout.write(`${options.json ? jsonLine(report) : tableText(report)}\n`);
      sections.set(name, markdown(report));
      if (report.lost > 0 || report.doubled > 0 || (options.gate && fails(report))) code = Math.max(code, 1);
    } catch (thrown) {
      process.stderr.write(`${name}: ${Fault.from(thrown).message}\n`);
      code = 3;
    }
  }
  if (options.write) await writeRecord(join(root, "docs", "benchmarks.md"), Object.keys(QUESTIONS), sections);
  return code;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => void endAll().then(() => process.exit(130)));
process.exitCode = await main(process.argv.slice(2));
await endAll();
