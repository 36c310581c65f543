/** `pilot logs`: what functions wrote. */
import type { Connected } from "../../nodes/io/nats.ts";
import { DEFAULT_ACCOUNT } from "../../protocol/names.ts";
import { command } from "../command.ts";
import { type Cli, line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { printable } from "../failure.ts";
import { JSON_FLAG, on, optionalFunctionArgument, value, valueOr } from "../flags.ts";
import { time } from "../output.ts";
import { connected } from "../platform.ts";
import { duration, id, integer, name } from "../values.ts";

interface LogLine {
  readonly account: string;
  readonly function: string;
  readonly version: number;
  readonly call: string;
  readonly stream: string;
  readonly text: string;
  readonly at: number;
  readonly host: string;
}

export const logs = command({
  brief: "Show what functions wrote to stdout, stderr and context.log",
  details:
    "Without --follow: the newest lines that are kept. With it: those, then what comes, until Ctrl-C.\nBefore each text: time, call, and · stdout, E stderr, L context.log, P the platform.",
  examples: ["pilot logs hello", "pilot logs hello -f", "pilot logs --call 4fk2m9x1 --since 2h", "pilot logs -f --json | jq .text"],
  flags: {
    account: valueOr(name, "NAME", DEFAULT_ACCOUNT, "account of the function"),
    follow: on("go on with what comes, until Ctrl-C"),
    call: value(id, "ID", "only lines of this call"),
    since: valueOr(duration, "TIME", "1h", "how far to look back"),
    lines: valueOr(integer(0, 100_000), "N", "200", "how many of the newest lines to begin with"),
    json: JSON_FLAG.json,
  },
  args: [optionalFunctionArgument(name, "NAME", "function; default: all of the account")],
  letters: { f: "follow", n: "lines" },
  action: (cli, flags, functionName) =>
    connected(
      cli,
      flags,
      async (platform) => {
        const { readLogs } = await import("../../nodes/io/log-stream.ts");
        const say = (row: LogLine): void => line(cli, flags.json ? JSON.stringify(row) : lineText(row, functionName === undefined));
        const wanted = (row: LogLine): boolean => flags.call === undefined || row.call === flags.call;
        let found = 0;
        const newest: LogLine[] = [];
        const keep = (row: LogLine): void => {
          newest.push(row);
          if (newest.length > 2 * flags.lines + 1_000) newest.splice(0, newest.length - flags.lines);
        };
        const flush = (): void => {
          for (const row of flags.lines === 0 ? [] : newest.slice(-flags.lines)) say(row);
          newest.length = 0;
        };
        let live = false;
        const onLive = (): void => {
          live = true;
          flush();
        };
        const query = { account: flags.account, ...defined({ name: functionName }), since: Date.now() - flags.since };
        for await (const batch of readLogs(platform, { ...query, follow: flags.follow, onLive, signal: cli.signal })) {
          for (const row of batch.lines) {
            const whole = { account: batch.account, function: batch.function, host: batch.host, ...row };
            if (!wanted(whole)) continue;
            found += 1;
            if (live) say(whole);
            else keep(whole);
          }
          if (cli.signal.aborted) break;
        }
        if (!live) flush();
        if (found === 0 && !flags.follow) await sayNothing(cli, platform, flags.account, functionName);
      },
      true,
    ),
});

/** Nothing may be the truth, or a wrong name. */
async function sayNothing(cli: Cli, platform: Connected, account: string, functionName: string | undefined): Promise<void> {
  if (functionName !== undefined) {
    const { showFunction } = await import("../contracts.ts");
    await platform.bus.ask(showFunction, [], { account, name: functionName });
  }
  note(cli, "no such lines; --since looks further back");
}

const MARKS: Readonly<Record<string, string>> = { stdout: "·", stderr: "E", log: "L", platform: "P" };

function lineText(row: LogLine, named: boolean): string {
  const at = `${time(row.at)}.${String(Math.floor(row.at) % 1_000).padStart(3, "0")}`;
  const who = named ? `${row.function}@${row.version} ` : "";
  return `${at} ${who}${row.call || "-"} ${MARKS[row.stream] ?? "?"} ${printable(row.text)}`;
}
