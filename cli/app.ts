/** The table of commands: a new one is a file in commands/ and a line here. */
import { ArgumentScannerError, buildApplication, formatMessageForArgumentScannerError, text_en } from "@stricli/core";
import { VERSION } from "../protocol/version.ts";
import { noun } from "./command.ts";
import { account } from "./commands/account.ts";
import { alias } from "./commands/alias.ts";
import { bench } from "./commands/bench.ts";
import { call } from "./commands/call.ts";
import { cluster } from "./commands/cluster.ts";
import { completion, propose } from "./commands/completion.ts";
import { debug } from "./commands/debug.ts";
import { deploy } from "./commands/deploy.ts";
import { doctor } from "./commands/doctor.ts";
import { cache, container, instance } from "./commands/fleet.ts";
import { fn } from "./commands/fn.ts";
import { host } from "./commands/host.ts";
import { inspect } from "./commands/inspect.ts";
import { invoke } from "./commands/invoke.ts";
import { logs } from "./commands/logs.ts";
import { metrics } from "./commands/metrics.ts";
import { node } from "./commands/node.ts";
import { permissions } from "./commands/permissions.ts";
import { pool } from "./commands/pool.ts";
import { errors, limits, version } from "./commands/tables.ts";
import { top } from "./commands/top.ts";
import { up } from "./commands/up.ts";
import type { Cli } from "./context.ts";
import { exitCodeOf, explain, wrong } from "./failure.ts";

const root = noun(
  "Functions on demand, over NATS",
  ["pilot up", "pilot deploy hello.ts", `pilot invoke hello --data '{"name":"you"}'`, "pilot fn ls"],
  {
    up,
    deploy,
    invoke,
    fn,
    alias,
    account,
    logs,
    call,
    instance,
    container,
    node,
    host,
    cluster,
    pool,
    cache,
    bench,
    doctor,
    inspect,
    top,
    metrics,
    debug,
    permissions,
    limits,
    errors,
    completion,
    version,
    __complete: propose,
  },
  {},
  ["__complete"],
);

/** `debug` shows our own stacks. */
export function application(debug: boolean) {
  const said = (thrown: unknown): string => explain(thrown, debug);
  return buildApplication<Cli>(root, {
    name: "pilot",
    versionInfo: { currentVersion: VERSION },
    scanner: { caseStyle: "allow-kebab-for-camel", allowArgumentEscapeSequence: true },
    documentation: {
      caseStyle: "convert-camel-to-kebab",
      disableAnsiColor: true,
      useAliasInUsageLine: false,
      onlyRequiredInUsageLine: true,
    },
    determineExitCode: exitCodeOf,
    localization: {
      text: {
        ...text_en,
        noCommandRegisteredForInput: ({ input, corrections }) => wrong(unknownCommand(input, corrections)),
        exceptionWhileParsingArguments: (thrown) => wrong(parseFailure(thrown)),
        exceptionWhileLoadingCommandFunction: said,
        exceptionWhileLoadingCommandContext: said,
        exceptionWhileRunningCommand: said,
        commandErrorResult: said,
      },
    },
  });
}

function unknownCommand(input: string, corrections: readonly string[]): string {
  const [nearest] = corrections;
  return `there is no command ${input}${nearest === undefined ? "" : `, did you mean ${nearest.replaceAll("`", "")}?`}`;
}

function parseFailure(thrown: unknown): string {
  if (!(thrown instanceof ArgumentScannerError)) return thrown instanceof Error ? thrown.message : String(thrown);
  return formatMessageForArgumentScannerError(thrown, {
    // Flags are known by their camel case here; arguments by their placeholder in capitals.
    ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, exception }) => {
      const where = /^[a-z][A-Za-z]*$/.test(name) ? `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}` : name;
      return `${where}: ${exception instanceof Error ? exception.message : String(exception)}`;
    },
  });
}
