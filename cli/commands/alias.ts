/** `pilot alias`: names that point at versions of a function. */
import { DEFAULT_ACCOUNT, LIVE_ALIAS } from "../../protocol/names.ts";
import { command, noun } from "../command.ts";
import { line } from "../context.ts";
import { Usage } from "../failure.ts";
import { argument, functionArgument, JSON_FLAG, text, valueOr } from "../flags.ts";
import { answer, table } from "../output.ts";
import { ask, noteUnconfirmed } from "../platform.ts";
import { alias as aliasName, name, share } from "../values.ts";

const account = valueOr(name, "NAME", DEFAULT_ACCOUNT, "account of the function");

const ls = command({
  brief: "List the aliases of a function",
  examples: ["pilot alias ls hello", "pilot alias ls hello --json"],
  flags: { account, ...JSON_FLAG },
  args: [functionArgument(name, "FUNCTION", "name of the function")],
  action: async (cli, flags, functionName) => {
    const reply = await ask(cli, flags, (all) => all.showFunction, { account: flags.account, name: functionName });
    const rows = Object.entries(reply.function.aliases).flatMap(([alias, shares]) =>
      shares.map((row) => [
        alias,
        row.version,
        `${row.weight}`,
        `pilot.fn.${flags.account}.${functionName}${alias === LIVE_ALIAS ? "" : `.${alias}`}`,
      ]),
    );
    await answer(cli, flags.json, reply.function.aliases, () => table(cli, ["ALIAS", "VERSION", "WEIGHT", "SUBJECT"], rows, "no aliases"));
  },
});

const set = command({
  brief: "Point an alias at one version, or at several by weight",
  details: "The alias live is what a call without qualifier gets; deploy moves it to the new version.",
  examples: ["pilot alias set hello beta 4", "pilot alias set hello live 3=90 4=10", "pilot alias set hello live 3"],
  flags: { account, ...JSON_FLAG },
  args: [argument(text, "FUNCTION ALIAS VERSION[=WEIGHT]", "function, alias, and one or more versions")],
  repeat: 3,
  action: async (cli, flags, ...words) => {
    const [functionName = "", alias = "", ...rest] = words;
    const shares = rest.map((word) => share(word));
    if (new Set(shares.map((row) => row.version)).size < shares.length) throw new Usage("a version is named twice");
    const body = { account: flags.account, name: name(functionName), alias: aliasName(alias), shares };
    const reply = await ask(cli, flags, (all) => all.setAlias, body);
    noteUnconfirmed(cli, reply.unconfirmed);
    await answer(cli, flags.json, reply, () =>
      line(cli, `${alias} → ${shares.map((row) => (shares.length === 1 ? row.version : `${row.version}=${row.weight}`)).join(" ")}`),
    );
  },
});

const rm = command({
  brief: "Remove an alias",
  examples: ["pilot alias rm hello beta"],
  flags: { account, ...JSON_FLAG },
  args: [
    functionArgument(name, "FUNCTION", "name of the function"),
    argument(aliasName, "ALIAS", "alias to remove; live cannot be removed"),
  ],
  action: async (cli, flags, functionName, alias) => {
    const reply = await ask(cli, flags, (all) => all.setAlias, { account: flags.account, name: functionName, alias, shares: null });
    noteUnconfirmed(cli, reply.unconfirmed);
    await answer(cli, flags.json, reply, () => line(cli, `${alias} removed`));
  },
});

export const alias = noun(
  "Names that point at versions of a function",
  ["pilot alias ls hello", "pilot alias set hello live 3=90 4=10"],
  { ls, set, rm },
  { list: "ls", remove: "rm" },
);
