/** `pilot limits`, `errors`, `version`: what is fixed in this build. */
import { ERRORS } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { VERSION } from "../../protocol/version.ts";
import { localCommand } from "../command.ts";
import { line } from "../context.ts";
import { JSON_FLAG, optionalArgument, text } from "../flags.ts";
import { answer, table } from "../output.ts";

const has = (part: string | undefined, ...texts: string[]): boolean =>
  part === undefined || texts.some((one) => one.toLowerCase().includes(part.toLowerCase()));

export const limits = localCommand({
  brief: "List every bound of the platform",
  examples: ["pilot limits", "pilot limits wait", "pilot limits --json"],
  flags: JSON_FLAG,
  args: [optionalArgument(text, "TEXT", "only rows with this text")],
  action: async (cli, flags, part) => {
    const rows = Object.entries(LIMITS).filter(([key, row]) => has(part, key, row.meaning));
    await answer(cli, flags.json, Object.fromEntries(rows), () =>
      table(
        cli,
        ["LIMIT", "VALUE", "UNIT", "MEANING"],
        rows.map(([key, row]) => [key, row.value, row.unit, row.meaning]),
        "no such limit",
      ),
    );
  },
});

export const errors = localCommand({
  brief: "List every error: its code, whose fault, whether to retry, what to do",
  examples: ["pilot errors", "pilot errors OutOfMemory", "pilot errors --json"],
  flags: JSON_FLAG,
  args: [optionalArgument(text, "TEXT", "only rows with this text")],
  action: async (cli, flags, part) => {
    const rows = Object.entries(ERRORS).filter(([key, row]) => has(part, key, row.meaning, String(row.code)));
    await answer(cli, flags.json, Object.fromEntries(rows), () =>
      table(
        cli,
        ["ERROR", "CODE", "FAULT", "RETRY", "MEANING", "NEXT"],
        rows.map(([key, row]) => [key, row.code, row.fault, row.retry, row.meaning, row.cure]),
        "no such error",
      ),
    );
  },
});

export const version = localCommand({
  brief: "Print the version",
  examples: ["pilot version", "pilot version --json"],
  flags: JSON_FLAG,
  args: [],
  action: (cli, flags) => answer(cli, flags.json, { pilot: VERSION, node: process.versions.node }, () => line(cli, VERSION)),
});
