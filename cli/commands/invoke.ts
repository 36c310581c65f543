/** `pilot invoke`: one call. stdout is the function's reply and nothing else. */
import type { BodySource } from "../../nodes/io/invocation.ts";
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import { DEFAULT_ACCOUNT } from "../../protocol/names.ts";
import { cancelledByInterrupt } from "../cancel.ts";
import { command } from "../command.ts";
import { type Cli, line, note } from "../context.ts";
import { defined } from "../defined.ts";
import { exitCodeOf, explain, failureData, Interrupted, printable, Usage } from "../failure.ts";
import { JSON_FLAG, on, optionalFunctionArgument, text, value, valueOr, values } from "../flags.ts";
import { tableText } from "../output.ts";
import { connected, interrupted } from "../platform.ts";
import { configuration, duration, header, memory, name, record, target, timeout } from "../values.ts";

export const invoke = command({
  brief: "Call a function; its reply is all that is written to stdout",
  details:
    "NAME may carry an alias or version: hello.beta, hello:3. The body is sent as it is given: JSON arrives parsed,\nanything else as bytes. Bodies and results up to 64 MiB pass; large ones travel in parts. Ctrl-C cancels the call, wherever it waits or runs.\nAny NATS client can do the same: a request to pilot.fn.<account>.<function>.",
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
    const body =
      flags.code === undefined
        ? ((await largeFile(flags.data)) ?? (await bodyOf(cli, flags.data)))
        : await inlineBody(cli, flags.code, flags.runtime, flags.handler, await bodyOf(cli, flags.data));
    const headers = record(flags.header ?? [], "header");
    const serve = async (platform: Connected): Promise<void> => {
      const started = performance.now();
      const { caller, bus } = platform;
      const { openInvoker } = await import("../../nodes/io/invoke.ts");
      let inbox = "";
      const upload = new AbortController();
      const call = openInvoker({ caller, bus }).invoke({
        account: flags.account,
        callee,
        body,
        headers,
        deadlineMs: flags.deadline,
        timeoutMs: flags.timeout,
        memoryMb: flags.memory,
        runtime: callee === undefined ? undefined : flags.runtime,
        trace: flags.trace,
        signal: upload.signal,
        onReplySubject: (own) => (inbox = own),
        onProgress: progressLine(cli),
      });
      try {
        const reply = await cancelledByInterrupt(cli, { caller, account: flags.account, call, reply: () => inbox });
        const ms = performance.now() - started;
        if (flags.trace) note(cli, traceText(reply.headers));
        if (flags.json) line(cli, JSON.stringify({ status: 200, ...bodyData(reply.body), headers: reply.headers, ms }));
        else writeBody(cli, reply.body);
      } catch (failure) {
        // What was sent is cancelled already.
        if (inbox === "") upload.abort();
        if (!flags.json) throw failure;
        const fault = failure instanceof Interrupted ? new Fault("Cancelled", failure.message) : Fault.from(failure);
        const headersOfReply = fault.details?.["headers"] ?? {};
        line(
          cli,
          JSON.stringify({ status: fault.code, error: failureData(fault), headers: headersOfReply, ms: performance.now() - started }),
        );
        note(cli, explain(failure, cli.env["PILOT_DEBUG"] === "1"));
        cli.exitCode = exitCodeOf(failure);
      }
    };
    await connected(cli, flags, serve, true);
  },
});

/** A file that does not fit into a message is read while it is sent. Undefined for everything else. */
async function largeFile(data: string | undefined): Promise<BodySource | undefined> {
  if (data?.startsWith("@") !== true) return undefined;
  const { openLargeFile } = await import("../../nodes/io/input.ts");
  return openLargeFile(data.slice(1), BODY_LIMIT, LIMITS.largeBody.value);
}

async function bodyOf(cli: Cli, data: string | undefined): Promise<Uint8Array> {
  if (data === undefined) return new Uint8Array(0);
  if (data === "-" || data.startsWith("@")) return read(cli, data === "-" ? "-" : data.slice(1), LIMITS.largeBody.value);
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

/** A line at a terminal that tells how far a large body is; it is gone when all is through. */
function progressLine(cli: Cli): ((direction: "up" | "down", done: number, total: number) => void) | undefined {
  const { stderr } = cli;
  if (stderr.isTTY !== true) return undefined;
  const text = { up: "sending", down: "receiving" };
  return (direction, done, total) => {
    const mib = (bytes: number): string => (bytes / (1024 * 1024)).toFixed(1);
    stderr.write(done < total ? `\r\u001b[Kpilot: ${text[direction]} ${mib(done)} of ${mib(total)} MiB` : "\r\u001b[K");
  };
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
