/** `pilot invoke`: one call. stdout is the function's reply and nothing else. */
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { DEFAULT_ACCOUNT } from "../../protocol/names.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { cancelledByInterrupt } from "../cancel.ts";
import { command } from "../command.ts";
import { type Cli, line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { exitCodeOf, explain, failureData, Interrupted, printable, Usage } from "../failure.ts";
import { JSON_FLAG, on, optionalFunctionArgument, text, value, valueOr, values } from "../flags.ts";
import { tableText } from "../output.ts";
import { connected, interrupted } from "../platform.ts";
import { configuration, duration, header, memory, name, record, type Target, target, timeout } from "../values.ts";

export const invoke = command({
  brief: "Call a function; its reply is all that is written to stdout",
  details:
    "NAME may carry an alias or version: hello.beta, hello:3. The body is sent as it is given: JSON arrives parsed,\nanything else as bytes. Ctrl-C cancels the call, wherever it waits or runs.\nAny NATS client can do the same: a request to pilot.fn.<account>.<function>.",
  examples: [
    `pilot invoke hello --data '{"name":"you"}'`,
    "pilot invoke hello.beta --data @order.json --timeout 5s --trace",
    "cat picture.png | pilot invoke thumbnail --data - > small.png",
    `pilot invoke --code snippet.js --data '[1,2,3]'`,
  ],
  flags: {
    data: value(text, "JSON|@FILE|-", "body of the call; @FILE reads a file, - reads stdin; default: empty"),
    account: valueOr(name, "NAME", DEFAULT_ACCOUNT, "account of the function"),
    timeout: value(timeout, "TIME", "run time limit of this call, not above the function's own"),
    deadline: value(duration, "TIME", "how long the call may wait for a place"),
    memory: value(memory, "MB", "memory for this call instead of the stored amount"),
    runtime: value(configuration, "NAME[@VERSION]", "runtime the host must offer, for example node@20"),
    header: values(header, "KEY=VALUE", "further header of the call; repeat for more"),
    code: value(text, "FILE|-", "run this code instead of a deployed function; nothing is kept of it"),
    handler: value(text, "NAME", "with --code: function to call; default: handler"),
    trace: on("print how the call was placed, on stderr"),
    json: JSON_FLAG.json,
  },
  args: [optionalFunctionArgument(target, "NAME[.QUALIFIER]", "function to call; left out with --code")],
  letters: { d: "data", t: "trace" },
  action: async (cli, flags, callee) => {
    if ((callee === undefined) === (flags.code === undefined)) throw new Usage("say either the NAME of a function or --code FILE");
    if (callee !== undefined && flags.handler !== undefined) throw new Usage("--handler goes with --code; a deployed function has its own");
    if (flags.code === "-" && flags.data === "-") throw new Usage("--code - and --data - cannot both read stdin");
    const event = await bodyOf(cli, flags.data);
    const headers: Record<string, string> = {
      ...record(flags.header ?? [], "header"),
      ...(flags.trace && { "Pilot-Trace": "1" }),
      ...defined({
        "Pilot-Deadline": flags.deadline === undefined ? undefined : String(flags.deadline),
        "Pilot-Timeout": flags.timeout === undefined ? undefined : String(flags.timeout),
        "Pilot-Memory": flags.memory === undefined ? undefined : String(flags.memory),
        "Pilot-Runtime": callee === undefined ? undefined : flags.runtime,
      }),
    };
    const subject = callee === undefined ? SUBJECT.inline(flags.account) : SUBJECT.fn(flags.account, callee.name, callee.qualifier);
    const body = flags.code === undefined ? event : await inlineBody(cli, flags.code, flags.runtime, flags.handler, event);
    if (body.length > BODY_LIMIT)
      throw new Fault("PayloadTooLarge", `the body has ${body.length} bytes; at most ${BODY_LIMIT} fit into a call`);
    const serve = async (platform: Connected): Promise<void> => {
      const started = performance.now();
      const call = patience(platform, flags.account, callee, flags.timeout, flags.deadline ?? LIMITS.waitForPlace.value);
      try {
        let inbox = "";
        const sent = platform.caller.call(subject, body, { headers, ...call.options, onReplySubject: (own) => (inbox = own) });
        const reply = await cancelledByInterrupt(cli, platform, sent, inbox);
        const ms = performance.now() - started;
        if (flags.trace) note(cli, traceText(reply.headers));
        if (flags.json) line(cli, JSON.stringify({ status: 200, ...bodyData(reply.body), headers: reply.headers, ms }));
        else writeBody(cli, reply.body);
      } catch (thrown) {
        const failure = call.explain(thrown);
        if (!flags.json) throw failure;
        const fault = failure instanceof Interrupted ? new Fault("Cancelled", failure.message) : Fault.from(failure);
        const headersOfReply = fault.details?.["headers"] ?? {};
        line(
          cli,
          JSON.stringify({ status: fault.code, error: failureData(fault), headers: headersOfReply, ms: performance.now() - started }),
        );
        note(cli, explain(failure, cli.env["PILOT_DEBUG"] === "1"));
        cli.exitCode = exitCodeOf(failure);
      } finally {
        call.end();
      }
    };
    await connected(cli, flags, serve, true);
  },
});

async function bodyOf(cli: Cli, data: string | undefined): Promise<Uint8Array> {
  if (data === undefined) return new Uint8Array(0);
  if (data === "-" || data.startsWith("@")) return read(cli, data === "-" ? "-" : data.slice(1), BODY_LIMIT);
  if (/^\s*[[{]/.test(data) && !isJson(data)) note(cli, "pilot: the data begins like JSON and is none: the function gets it as bytes");
  return new TextEncoder().encode(data);
}

function isJson(data: string): boolean {
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}

async function read(cli: Cli, path: string, most: number): Promise<Uint8Array> {
  const { readFileWithin, readStreamWithin } = await import("../../nodes/io/input.ts");
  return Promise.race([path === "-" ? readStreamWithin(cli.stdin, most, "stdin") : readFileWithin(path, most), interrupted(cli)]);
}

/** Code in the request itself (F002): one JSON object to the account's inline subject. */
async function inlineBody(
  cli: Cli,
  path: string,
  wanted: string | undefined,
  handler: string | undefined,
  event: Uint8Array,
): Promise<Uint8Array> {
  const code = new TextDecoder().decode(await read(cli, path, LIMITS.inlineSource.value));
  const runtime = wanted?.split("@")[0] ?? (path.endsWith(".py") ? "python" : "node");
  let parsed: unknown;
  try {
    parsed = event.length === 0 ? undefined : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(event));
  } catch {
    throw new Usage("with --code the data must be JSON");
  }
  return new TextEncoder().encode(JSON.stringify(defined({ runtime, code, handler, event: parsed })));
}

/**
 * How long to wait for a reply. The platform answers every call by itself, so this is only for calls that nobody can
 * speak for any more. Without --timeout the function's own limit counts, and is asked for only when a call lasts long.
 */
function patience(platform: Connected, account: string, callee: Target | undefined, limit: number | undefined, wait: number) {
  const stop = new AbortController();
  const known = limit ?? LIMITS.timeoutDefault.value;
  let given = wait + known + LIMITS.replyGrace.value;
  let timer = setTimeout(() => void longer(), given);
  const longer = async (): Promise<void> => {
    const own = limit === undefined && callee !== undefined ? await ownLimit(platform, account, callee.name) : known;
    if (own <= known) return stop.abort();
    given = wait + own + LIMITS.replyGrace.value;
    timer = setTimeout(() => stop.abort(), own - known);
  };
  return {
    options: { timeoutMs: wait + LIMITS.timeoutMax.value + 2 * LIMITS.replyGrace.value, signal: stop.signal },
    explain: (thrown: unknown): unknown =>
      stop.signal.aborted ? new Fault("InstanceLost", `no reply within ${Math.round(given)} ms; whoever ran the call is gone`) : thrown,
    /** The wait is over, whoever ended it. */
    end(): void {
      clearTimeout(timer);
      stop.abort();
    },
  };
}

async function ownLimit(platform: Connected, account: string, functionName: string): Promise<number> {
  try {
    const { showFunction } = await import("../contracts.ts");
    const shown = await platform.bus.ask(showFunction, [], { account, name: functionName });
    return shown.function.settings.timeoutMs;
  } catch {
    return 0;
  }
}

/** The bytes as they came; at a terminal a newline is added so that the prompt starts on its own line. */
function writeBody(cli: Cli, body: Uint8Array): void {
  if (body.length > 0) cli.stdout.write(body);
  if (cli.stdout.isTTY && body.at(-1) !== 0x0a) cli.stdout.write("\n");
}

/** JSON as itself, other UTF-8 as text, the rest in base64. */
function bodyData(body: Uint8Array): { body: unknown; encoding: "json" | "text" | "base64" } {
  try {
    const decoded = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    try {
      return { body: JSON.parse(decoded), encoding: "json" };
    } catch {
      return { body: decoded, encoding: "text" };
    }
  } catch {
    return { body: Buffer.from(body).toString("base64"), encoding: "base64" };
  }
}

function traceText(headers: Readonly<Record<string, string>>): string {
  const rows = Object.entries(headers).filter(([key]) => key.startsWith("Pilot-"));
  const [received = 0, started = 0, ended = 0] = (headers["Pilot-Times"] ?? "").split(";").map(Number);
  const spans =
    ended > 0
      ? [
          ["waited", `${(started - received).toFixed(2)} ms`],
          ["ran", `${(ended - started).toFixed(2)} ms`],
        ]
      : [];
  const cells = rows.map(([key, text]) => [key.slice("Pilot-".length).toLowerCase(), printable(text)]);
  return tableText([], [...cells, ...spans]);
}
