/** `pilot fn`: functions and their versions. */

import type { Static } from "typebox";
import { Fault } from "../../protocol/errors.ts";
import type { Shares } from "../../protocol/messages/records.ts";
import { DEFAULT_ACCOUNT } from "../../protocol/names.ts";
import { command, noun } from "../command.ts";
import { type Cli, line } from "../context.ts";
import { defined } from "../defined.ts";
import { Usage } from "../failure.ts";
import { choice, functionArgument, JSON_FLAG, optionalFunctionArgument, value, valueOr } from "../flags.ts";
import { counts, places, sumFunctions } from "../fleet.ts";
import { answer, bytes, fields, milliseconds, table, time } from "../output.ts";
import { ask, noteUnconfirmed } from "../platform.ts";
import { duration, integer, memory, name, timeout } from "../values.ts";

const account = valueOr(name, "NAME", DEFAULT_ACCOUNT, "account of the function");
const anyAccount = value(name, "NAME", "only functions of this account");
const which = functionArgument(name, "NAME", "name of the function");

const ls = command({
  brief: "List functions",
  examples: ["pilot fn ls", "pilot fn ls --account shop --json"],
  flags: { account: anyAccount, ...JSON_FLAG },
  args: [],
  action: async (cli, flags) => {
    const reply = await ask(cli, flags, (all) => all.listFunctions, defined({ account: flags.account }));
    const rows = reply.functions.map((row) => [
      row.account,
      row.name,
      `@${row.newest}`,
      aliases(row.aliases),
      `${row.settings.memoryMb} MB`,
      milliseconds(row.settings.timeoutMs),
      row.settings.class ?? "auto",
      time(row.changedAt),
    ]);
    await answer(cli, flags.json, reply.functions, () =>
      table(
        cli,
        ["ACCOUNT", "FUNCTION", "NEWEST", "ALIASES", "MEMORY", "TIMEOUT", "CLASS", "CHANGED"],
        rows,
        `no functions yet; deploy one: ${cli.program} deploy FILE`,
      ),
    );
  },
});

const show = command({
  brief: "Show one function: settings, aliases, versions",
  examples: ["pilot fn show hello", "pilot fn show cart --account shop --json"],
  flags: { account, ...JSON_FLAG },
  args: [which],
  action: async (cli, flags, functionName) => {
    const reply = await ask(cli, flags, (all) => all.showFunction, { account: flags.account, name: functionName });
    await answer(cli, flags.json, reply, async () => {
      const { settings, ...row } = reply.function;
      await fields(cli, [
        ["function", row.name],
        ["account", row.account],
        ["subject", `pilot.fn.${row.account}.${row.name}`],
        ["memory", `${settings.memoryMb} MB`],
        ["timeout", milliseconds(settings.timeoutMs)],
        ["keep-alive", milliseconds(settings.keepAliveMs)],
        ["class", settings.class ?? "auto"],
        ["direct", settings.direct ? "on" : "off"],
        ["idempotent", settings.idempotent ? "on" : "off"],
        ["containers", settings.containers],
        ["aliases", aliases(row.aliases)],
        ["created", time(row.createdAt)],
        ["changed", time(row.changedAt)],
      ]);
      line(cli);
      versionTable(cli, reply.versions);
    });
  },
});

const versions = command({
  brief: "List the versions of a function, newest first",
  examples: ["pilot fn versions hello", "pilot fn versions hello --json"],
  flags: { account, ...JSON_FLAG },
  args: [which],
  action: async (cli, flags, functionName) => {
    const reply = await ask(cli, flags, (all) => all.showFunction, { account: flags.account, name: functionName });
    await answer(cli, flags.json, reply.versions, () => versionTable(cli, reply.versions));
  },
});

interface VersionRow {
  readonly version: number;
  readonly runtime: string;
  readonly handler: string;
  readonly bytes: number;
  readonly digest: string;
  readonly network: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly createdAt: number;
}

/** Environment variables by name only: their values may be secrets. */
function versionTable(cli: Cli, rows: readonly VersionRow[]): void {
  const cells = rows.map((row) => [
    row.version,
    row.runtime,
    row.handler,
    bytes(row.bytes),
    row.digest.slice(0, 12),
    row.network ? "yes" : "no",
    Object.keys(row.environment).join(" "),
    time(row.createdAt),
  ]);
  return table(cli, ["VERSION", "RUNTIME", "HANDLER", "SIZE", "DIGEST", "NETWORK", "ENVIRONMENT", "CREATED"], cells, "no versions");
}

const switches = ["on", "off"] as const;
const switched = (state: "on" | "off" | undefined): boolean | undefined => (state === undefined ? undefined : state === "on");

const set = command({
  brief: "Change settings of a function without a new version",
  examples: [
    "pilot fn set hello --memory 256 --timeout 10s",
    "pilot fn set hello --class busy --direct off",
    "pilot fn set hello --class auto",
  ],
  flags: {
    account,
    memory: value(memory, "MB", "memory of one call"),
    timeout: value(timeout, "TIME", "run time limit of one call"),
    keepAlive: value(duration, "TIME", "how long an idle container is kept"),
    class: choice(["busy", "rare", "auto"], "how capacity is planned; auto: decided from use"),
    direct: choice(switches, "whether hosts may answer calls without a frontend"),
    idempotent: choice(switches, "whether a call may run again when its host died"),
    containers: value(integer(1, 1_000), "N", "most containers at a time"),
    ...JSON_FLAG,
  },
  args: [which],
  action: async (cli, flags, functionName) => {
    const change = defined({
      memoryMb: flags.memory,
      timeoutMs: flags.timeout,
      keepAliveMs: flags.keepAlive,
      class: flags.class === "auto" ? null : flags.class,
      direct: switched(flags.direct),
      idempotent: switched(flags.idempotent),
      containers: flags.containers,
    });
    if (Object.keys(change).length === 0) throw new Usage("nothing to change: name at least one setting");
    const reply = await ask(cli, flags, (all) => all.setFunction, { account: flags.account, name: functionName, change });
    noteUnconfirmed(cli, reply.unconfirmed);
    await answer(cli, flags.json, reply, () => line(cli, `${functionName}: ${Object.keys(change).length} settings changed`));
  },
});

const stats = command({
  brief: "Show what functions did: calls, failures, rungs, direct share, run times",
  details: "Counted by the hosts since they started. Run times are of the host where they are worst.",
  examples: ["pilot fn stats", "pilot fn stats hello --json"],
  flags: { account: anyAccount, ...JSON_FLAG },
  args: [optionalFunctionArgument(name, "NAME", "only this function")],
  action: async (cli, flags, functionName) => {
    const fleet = await ask(cli, flags, (all) => all.showFleet, {});
    const sums = sumFunctions(fleet.hosts).filter(
      (row) =>
        (flags.account === undefined || row.account === flags.account) && (functionName === undefined || row.function === functionName),
    );
    if (sums.length === 0 && functionName !== undefined)
      await ask(cli, flags, (all) => all.showFunction, { account: flags.account ?? DEFAULT_ACCOUNT, name: functionName });
    const rows = sums.map((row) => [
      row.account,
      row.function,
      row.calls,
      row.calls === 0 ? "-" : `${((row.direct / row.calls) * 100).toFixed(0)} %`,
      counts(row.rungs),
      counts(row.failures),
      milliseconds(row.runMs.p50),
      milliseconds(row.runMs.p99),
      fleet.classes[`${row.account}.${row.function}`],
    ]);
    await answer(cli, flags.json, sums, () =>
      table(cli, ["ACCOUNT", "FUNCTION", "CALLS", "DIRECT", "RUNGS", "FAILURES", "P50", "P99", "CLASS"], rows, "no calls yet"),
    );
  },
});

const absent = (owner: string, functionName: string): Fault =>
  new Fault("FunctionNotFound", `there is no function ${functionName} in account ${owner}`);

const rm = command({
  brief: "Remove a function with its versions and aliases",
  details: "Calls that run end normally.",
  examples: ["pilot fn rm hello", "pilot fn rm cart --account shop"],
  flags: { account, ...JSON_FLAG },
  args: [which],
  action: async (cli, flags, functionName) => {
    const reply = await ask(cli, flags, (all) => all.removeFunction, { account: flags.account, name: functionName });
    if (!reply.removed) throw absent(flags.account, functionName);
    noteUnconfirmed(cli, reply.unconfirmed);
    await answer(cli, flags.json, reply, () => line(cli, `${functionName} removed`));
  },
});

const where = command({
  brief: "Show the hosts, instances and containers that have a function's code",
  examples: ["pilot fn where hello", "pilot fn where hello --json"],
  flags: { account, ...JSON_FLAG },
  args: [which],
  action: async (cli, flags, functionName) => {
    const fleet = await ask(cli, flags, (all) => all.showFleet, {});
    const found = places(fleet.hosts, flags.account, functionName);
    // Nowhere may be the truth, or a wrong name.
    if (found.length === 0) await ask(cli, flags, (all) => all.showFunction, { account: flags.account, name: functionName });
    const rows = found.map((place) => [
      place.host,
      place.instance,
      place.version,
      place.containers.map((row) => `${row.id} (${row.state})`).join(", "),
    ]);
    await answer(cli, flags.json, found, () => table(cli, ["HOST", "INSTANCE", "VERSION", "CONTAINERS"], rows, "on no instance"));
  },
});

const preload = command({
  brief: "Ready idle containers with a function's code before any call",
  examples: ["pilot fn preload hello", "pilot fn preload hello --count 4 --memory 256"],
  flags: {
    account,
    count: valueOr(integer(1, 100), "N", "1", "how many containers"),
    memory: value(memory, "MB", "memory of each; default: the function's"),
    ...JSON_FLAG,
  },
  args: [which],
  action: async (cli, flags, functionName) => {
    const body = { account: flags.account, name: functionName, count: flags.count, ...defined({ memoryMb: flags.memory }) };
    const reply = await ask(cli, flags, (all) => all.preloadFunction, body);
    await answer(cli, flags.json, reply, () => line(cli, `${reply.ready} ready`));
  },
});

/** "live → 3, beta → 3 90 % + 4 10 %" */
function aliases(all: Readonly<Record<string, Static<typeof Shares>>>): string {
  return Object.entries(all)
    .map(
      ([alias, shares]) =>
        `${alias} → ${shares.length === 1 ? shares[0]?.version : shares.map((row) => `${row.version}=${row.weight}`).join(" ")}`,
    )
    .join(", ");
}

export const fn = noun(
  "Functions and their versions",
  ["pilot fn ls", "pilot fn show hello", "pilot fn set hello --memory 256"],
  { ls, show, set, stats, rm, versions, where, preload },
  { list: "ls", remove: "rm" },
);
