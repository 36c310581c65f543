/** `pilot deploy`: bundle, put the code into the store, make the next version. */
import { basename, extname } from "node:path";
import type { Connected } from "../../nodes/io/nats.ts";
import { DEFAULT_ACCOUNT, isName } from "../../protocol/names.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { command } from "../command.ts";
import { type Cli, line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { printable, Usage } from "../failure.ts";
import { argument, choice, JSON_FLAG, on, text, value, valueOr, values } from "../flags.ts";
import { answer } from "../output.ts";
import { connected, noteUnconfirmed } from "../platform.ts";
import { publish } from "../publish.ts";
import { duration, integer, memory, name, record, runtime, timeout, variable } from "../values.ts";

/** Progress is said only when a step lasts longer than this. */
const SLOW_MS = 700;

export const deploy = command({
  brief: "Deploy a file or directory as the next version of a function",
  details:
    "JavaScript and TypeScript are bundled with what they import; types are removed, not checked (tsc --noEmit does that).\nPython is packed with the directory around it. The command returns when no node answers with the old version any more.",
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
    network: on("let the function reach what is outside (never the broker or the host itself)"),
    class: choice(["busy", "rare"], "how its capacity is planned; default: decided from use"),
    keepAlive: value(duration, "TIME", "how long an idle container is kept"),
    containers: value(integer(1, 1_000), "N", "most containers at a time"),
    ...JSON_FLAG,
  },
  args: [argument(text, "FILE|DIR", "source file, or a directory with an index or package.json")],
  letters: { n: "name" },
  action: async (cli, flags, path) => {
    const functionName = flags.name ?? nameOf(path);
    const { makeBundle } = await import("../../nodes/io/bundle/index.ts");
    const said = progress(cli);
    said.step(`bundling ${path}`);
    try {
      const bundle = await makeBundle(path, defined({ runtime: flags.runtime, handler: flags.handler }));
      for (const warning of bundle.warnings) note(cli, `warning: ${printable(warning)}`);
      await connected(cli, flags, async (platform) => {
        const settings = defined({
          memoryMb: flags.memory,
          timeoutMs: flags.timeout,
          class: flags.class,
          keepAliveMs: flags.keepAlive,
          containers: flags.containers,
        });
        const environment = flags.env && record(flags.env, "variable");
        const order = { account: flags.account, name: functionName, network: flags.network, settings, ...defined({ environment }) };
        const reply = await publish(platform, bundle, order, said.step);
        said.end();
        noteUnconfirmed(cli, reply.unconfirmed);
        if (flags.network) await noteNetwork(cli, platform);
        const { runtime: language, version, bytes, digest } = reply.version;
        const subject = SUBJECT.fn(flags.account, functionName);
        const data = {
          name: functionName,
          version,
          account: flags.account,
          subject,
          runtime: language,
          digest,
          bytes,
          unconfirmed: reply.unconfirmed,
        };
        await answer(cli, flags.json, data, () => {
          line(cli, `${functionName}@${version}`);
          line(cli, `subject  ${subject}`);
          const owner = flags.account === DEFAULT_ACCOUNT ? "" : ` --account ${flags.account}`;
          line(cli, `try      ${cli.program} invoke ${functionName}${owner} --data '{"name":"you"}'`);
        });
      });
    } finally {
      said.end();
    }
  },
});

/** Says when no host, or only one without isolation, can run a function with a network. A fleet that does not answer is no reason to fail. */
async function noteNetwork(cli: Cli, platform: Connected): Promise<void> {
  const { showFleet } = await import("../contracts.ts");
  const fleet = await platform.bus.ask(showFleet, [], {}).catch(() => undefined);
  const kinds = new Set(fleet?.hosts.map((host) => host.isolation.network));
  if (kinds.size === 0 || kinds.has("own")) return;
  if (kinds.has("host"))
    note(cli, "warning: functions are plain processes here: this one has the host's whole network, and so has every other");
  else note(cli, "warning: no host can give a function a network now; its calls are refused (pilot doctor says what is missing)");
}

/** The function's name from its path; refused when that is not a name, for a guess would surprise. */
export function nameOf(path: string): string {
  const base = basename(path.replace(/[/\\]+$/, ""));
  const stem = base.slice(0, base.length - extname(base).length) || base;
  if (!isName(stem)) throw new Usage(`${JSON.stringify(stem)} cannot be the function's name: say --name NAME`);
  return stem;
}

/** Says each step that lasts long, and only those. */
function progress(cli: Cli): { step(what: string): void; end(): void } {
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => clearTimeout(timer);
  return {
    step(what) {
      end();
      timer = setTimeout(() => note(cli, `${what} …`), SLOW_MS);
    },
    end,
  };
}
