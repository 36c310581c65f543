/** `pilot deploy`: bundle, put the code into the store, make the next version. */
import { basename, extname } from "node:path";
import { DEFAULT_ACCOUNT, isName } from "../../protocol/names.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { command } from "../command.ts";
import { type Cli, line, note } from "../context.ts";
import { Usage } from "../failure.ts";
import { argument, choice, JSON_FLAG, on, text, value, valueOr, values } from "../flags.ts";
import { answer, bytes } from "../output.ts";
import { connected, noteUnconfirmed } from "../platform.ts";
import { duration, integer, memory, name, record, runtime, timeout, variable } from "../values.ts";
import { defined } from "../defined.ts";

/** Progress is said only when a step lasts longer than this. */
const SLOW_MS = 700;

export const deploy = command({
  brief: "Deploy a file or directory as the next version of a function",
  details:
    "JavaScript and TypeScript are bundled with what they import; Python is packed with the directory around it.\nThe command returns when no node answers with the old version any more.",
  examples: [
    "pilot deploy hello.ts",
    "pilot deploy hello.py --name greet --memory 256 --timeout 10s",
    "pilot deploy ./shop --name cart --env CURRENCY=EUR --env LEVEL=debug --account shop",
  ],
  flags: {
    name: value(name, "NAME", "name of the function; default: the name of the file"),
    runtime: value(runtime, "node|python", "runtime; default: told by the file's ending"),
    memory: value(memory, "MB", "memory of one call; cpu follows in the same ratio"),
    timeout: value(timeout, "TIME", "run time limit of one call, for example 30s"),
    account: valueOr(name, "NAME", DEFAULT_ACCOUNT, "account that owns the function"),
    env: values(variable, "KEY=VALUE", "environment variable of the function; repeat for more"),
    handler: value(text, "NAME", "exported function to call; default: handler"),
    network: on("let the function use the network (never the broker's address)"),
    class: choice(["busy", "rare"], "how its capacity is planned; default: decided from use"),
    keepAlive: value(duration, "TIME", "how long an idle container is kept"),
    containers: value(integer(1, 1_000), "N", "most containers at a time"),
    ...JSON_FLAG,
  },
  args: [argument(text, "FILE|DIR", "source file, or a directory with an index or package.json")],
  letters: { n: "name" },
  action: async (cli, flags, path) => {
    const functionName = flags.name ?? nameOf(path);
    const [{ makeBundle }, { openCodeStore }] = await Promise.all([import("../../nodes/io/bundle/index.ts"), import("../../nodes/io/code/store.ts")]);
    const done = progress(cli, `bundling ${path}`);
    const bundle = await makeBundle(path, defined({ runtime: flags.runtime, handler: flags.handler })).finally(done);
    await connected(cli, flags, async (platform) => {
      const { deployFunction } = await import("../contracts.ts");
      const stored = progress(cli, `storing ${bytes(bundle.code.length)} of code`);
      const store = await openCodeStore(platform.nc);
      await store.put(bundle).finally(stored);
      const made = progress(cli, "making the version");
      const reply = await platform.bus
        .ask(deployFunction, [], {
          account: flags.account,
          name: functionName,
          runtime: bundle.runtime,
          handler: bundle.handler,
          digest: bundle.digest,
          bytes: bundle.code.length,
          hasMap: bundle.map !== undefined,
          ...(flags.env && { environment: record(flags.env, "variable") }),
          ...(flags.network && { network: true }),
          settings: defined({
            memoryMb: flags.memory,
            timeoutMs: flags.timeout,
            class: flags.class,
            keepAliveMs: flags.keepAlive,
            containers: flags.containers,
          }),
        })
        .finally(made);
      noteUnconfirmed(cli, reply.unconfirmed);
      const subject = SUBJECT.fn(flags.account, functionName);
      const version = reply.version.version;
      await answer(cli, flags.json, { name: functionName, version, account: flags.account, subject, runtime: bundle.runtime, digest: bundle.digest, bytes: bundle.code.length, unconfirmed: reply.unconfirmed }, () => {
        line(cli, `${functionName}@${version}`);
        line(cli, `subject  ${subject}`);
        const account = flags.account === DEFAULT_ACCOUNT ? "" : ` --account ${flags.account}`;
        line(cli, `try      ${cli.program} invoke ${functionName}${account} --data '{"name":"you"}'`);
      });
    });
  },
});

/** The function's name from its path; refused when that is not a name, for a guess would surprise. */
export function nameOf(path: string): string {
  const base = basename(path.replace(/[/\\]+$/, ""));
  const stem = base.slice(0, base.length - extname(base).length) || base;
  if (!isName(stem)) throw new Usage(`${JSON.stringify(stem)} cannot be the function's name: say --name NAME`);
  return stem;
}

function progress(cli: Cli, step: string): () => void {
  const timer = setTimeout(() => note(cli, `${step} …`), SLOW_MS);
  return () => clearTimeout(timer);
}
