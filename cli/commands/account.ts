/** `pilot account`: tenants and the bounds on their runs. */
import { command, noun } from "../command.ts";
import { type Cli, line } from "../context.ts";
import { defined } from "../defined.ts";
import { Usage } from "../failure.ts";
import { argument, type ConnectionValues, choice, JSON_FLAG, value } from "../flags.ts";
import { answer, milliseconds, table, time } from "../output.ts";
import { ask, noteUnconfirmed } from "../platform.ts";
import { integer, memory, name, timeout } from "../values.ts";

/** `none` takes a bound away. */
const orNone =
  <V>(parse: (text: string) => V) =>
  (text: string): V | null =>
    text === "none" ? null : parse(text);

const bounds = {
  timeout: value(orNone(timeout), "TIME|none", "longest run time of any call of the account"),
  memory: value(orNone(memory), "MB|none", "largest memory of any call of the account"),
  containers: value(integer(0, 100_000), "N", "most containers at a time"),
  active: choice(["on", "off"], "off: every call is refused"),
  ...JSON_FLAG,
};
const which = argument(name, "NAME", "name of the account");

interface Bounds {
  readonly timeout: number | null | undefined;
  readonly memory: number | null | undefined;
  readonly containers: number | undefined;
  readonly active: "on" | "off" | undefined;
  readonly json: boolean;
}

async function change(cli: Cli, flags: Bounds & ConnectionValues, account: string, create: boolean): Promise<void> {
  const wanted = defined({
    timeoutMs: flags.timeout,
    memoryMb: flags.memory,
    containers: flags.containers,
    active: flags.active === undefined ? undefined : flags.active === "on",
  });
  if (!create && Object.keys(wanted).length === 0) throw new Usage("nothing to change: name at least one bound");
  const reply = await ask(cli, flags, (all) => all.setAccount, { account, create, ...wanted });
  noteUnconfirmed(cli, reply.unconfirmed);
  await answer(cli, flags.json, reply, () => line(cli, `${account} ${create ? "added" : "changed"}`));
}

const add = command({
  brief: "Add an account",
  examples: ["pilot account add shop", "pilot account add shop --timeout 1s --memory 256"],
  flags: bounds,
  args: [which],
  action: (cli, flags, account) => change(cli, flags, account, true),
});

const set = command({
  brief: "Change the bounds on every run of an account",
  examples: ["pilot account set shop --timeout 1s", "pilot account set shop --active off", "pilot account set shop --memory none"],
  flags: bounds,
  args: [which],
  action: (cli, flags, account) => change(cli, flags, account, false),
});

const ls = command({
  brief: "List accounts with their bounds",
  examples: ["pilot account ls", "pilot account ls --json"],
  flags: JSON_FLAG,
  args: [],
  action: async (cli, flags) => {
    const reply = await ask(cli, flags, (all) => all.listAccounts, {});
    const rows = reply.accounts.map((row) => [
      row.name,
      row.active ? "yes" : "no",
      row.timeoutMs === undefined ? "-" : milliseconds(row.timeoutMs),
      row.memoryMb === undefined ? "-" : `${row.memoryMb} MB`,
      row.containers,
      time(row.createdAt),
    ]);
    await answer(cli, flags.json, reply.accounts, () =>
      table(cli, ["ACCOUNT", "ACTIVE", "TIMEOUT", "MEMORY", "CONTAINERS", "CREATED"], rows, "no accounts yet; the first deploy makes main"),
    );
  },
});

const rm = command({
  brief: "Remove an account that has no functions",
  details: "Its bounds go with it: a later deploy makes it anew, with the defaults.",
  examples: ["pilot account rm shop"],
  flags: JSON_FLAG,
  args: [which],
  action: async (cli, flags, account) => {
    const reply = await ask(cli, flags, (all) => all.removeAccount, { account });
    noteUnconfirmed(cli, reply.unconfirmed);
    await answer(cli, flags.json, reply, () => line(cli, `${account} removed`));
  },
});

export const account = noun(
  "Tenants and the bounds on their runs",
  ["pilot account ls", "pilot account set shop --timeout 1s"],
  { add, set, ls, rm },
  { list: "ls", remove: "rm" },
);
