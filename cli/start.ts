/**
 * `npm start`: brings the whole form up, deploys the examples, calls each, provokes every rung, shows a table and what
 * to try next, and stays until Ctrl-C. A second Ctrl-C ends everything at once.
 * Exit codes: 0 all as promised, 1 an example answered wrongly, 2 usage, 3 the platform failed.
 */
import { resolveConnection } from "../nodes/io/context.ts";
import { connect } from "../nodes/io/nats.ts";
import { type Running, up } from "../nodes/up.ts";
import { Fault } from "../protocol/errors.ts";
import { milliseconds, tableText } from "./output.ts";
import { presses } from "./press.ts";
import { readExamples } from "./tour/example.ts";
import { readStartOptions, START_USAGE, type StartOptions } from "./tour/options.ts";
import { type TourRow, tour } from "./tour/tour.ts";

const out = (text: string): void => void process.stdout.write(`${text}\n`);
const note = (text: string): void => void process.stderr.write(`${text}\n`);

/** Runs `npm start` with these words; resolves with the exit code when everything has ended. Never rejects. */
export async function start(words: readonly string[], root: string): Promise<number> {
  const options = readStartOptions(words);
  if ("help" in options) {
    out(START_USAGE);
    return 0;
  }
  if ("wrong" in options) {
    note(`${options.wrong}\n${START_USAGE}`);
    return 2;
  }
  const stop = new AbortController();
  let running: Running | undefined;
  const press = presses();
  const onSignal = (): void => {
    const which = press();
    if (which === "same") return;
    if (which === "again") return running === undefined ? process.exit(3) : running.kill();
    note("stopping; once more to stop at once");
    stop.abort();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  try {
    const common = { port: options.port, signal: stop.signal, say: note };
    running = await up({ ...common, ...(options.store !== undefined ? { store: options.store } : { temporary: options.once }) }).catch(
      (thrown: unknown) => {
        // Another checkout has the usual store: this one need not wait for it.
        if (options.store !== undefined || options.once || Fault.from(thrown).name !== "Conflict") throw thrown;
        note(`${Fault.from(thrown).message.split(";")[0]}; this one has a store of its own, which is removed at the end`);
        return up({ ...common, temporary: true });
      },
    );
    return await show(running, options, root, stop.signal);
  } catch (thrown) {
    if (stop.signal.aborted) return options.once ? 3 : 0;
    const fault = Fault.from(thrown);
    note(`pilotlight: ${fault.message}`);
    // A port or store that was asked for and cannot be had is a matter of the command line.
    return running === undefined && (fault.name === "BadRequest" || fault.name === "Conflict") ? 2 : 3;
  } finally {
    await running?.stop();
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(name, onSignal);
  }
}

async function show(running: Running, options: StartOptions, root: string, signal: AbortSignal): Promise<number> {
  out(`Pilotlight is up: ${running.nats}   (nats-server ${running.broker.version}, from ${running.broker.origin})`);
  const settings = await resolveConnection({ context: running.context }, {});
  const platform = await connect(settings, { name: "pilot start", role: "operator", node: `start-${process.pid}` });
  let rows: readonly TourRow[];
  const touring = new AbortController();
  try {
    const examples = await readExamples(root);
    signal.throwIfAborted();
    // Nothing is waited for until both are in the race: a rejection that nobody hears yet would end this process.
    const stopped = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(new Fault("Cancelled", "stopped")), { once: true });
    });
    const failed = running.done.then(() => Promise.reject(new Fault("Cancelled", "stopped")));
    rows = await Promise.race([tour(platform, examples, note, touring.signal), stopped, failed]);
  } finally {
    // A call that still waits would keep this process alive for as long as it may take.
    touring.abort();
    await platform.close();
  }
  const head = ["FUNCTION", "RUNTIME", "RUNG", "PATH", "TOTAL", "START DELAY", "ANSWER"];
  const cells = rows.map((row) => [row.name, row.runtime, row.rung, row.path, shown(row.totalMs), shown(row.startMs), row.remark]);
  out(
    `\n${tableText(head, cells)
      .split("\n")
      .map((line) => line.trimEnd())
      .join("\n")}`,
  );
  const wrong = rows.filter((row) => row.wrong).length;
  if (wrong > 0) note(`${wrong} of ${rows.length} answers are not what the examples promise`);
  if (options.once) return wrong > 0 ? 1 : 0;
  out(next(running));
  await running.done.catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return 0;
}

const shown = (ms: number | undefined): string => (ms === undefined ? "" : milliseconds(ms));

function next(running: Running): string {
  return `
What to try next, in another terminal in this directory:
  npx pilot invoke hello --data '{"name":"you"}' --trace     how a call was placed
  npx pilot deploy examples/01-hello --name hello            a second version, live at once
  npx pilot fn ls                                            what is deployed
  npx pilot logs greet -f                                    what functions print
  npx pilot instance ls --warm                               the pilot light itself
  npx pilot doctor                                           is everything well?
  NATS_URL=${running.nats} nats request pilot.fn.main.hello '{"name":"you"}'     any NATS client will do

Store: ${running.store}
Ctrl-C stops everything.`;
}
