/** The ways that a call can take, each with a real call: provoked by the function's settings and told by the trace. */
import type { Connected } from "../../nodes/io/nats.ts";
import { Fault } from "../../protocol/errors.ts";
import { BODY_LIMIT, LIMITS } from "../../protocol/limits.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import { bytes, milliseconds } from "../output.ts";
import { type Finding, ok, warn } from "./finding.ts";
import type { Canary } from "./proofs.ts";

export interface Gateway {
  readonly id: string;
  /** Where it listens. */
  readonly url: string;
}

/** What makes calls take a path, in the order in which they are tried. What a call demands of the runtime is the keeper's to judge. */
export const PATHS = [
  { path: "keeper", change: { class: "rare" }, demands: true },
  { path: "frontend", change: { class: "busy", direct: false }, demands: false },
  { path: "direct", change: { class: "busy", direct: true }, demands: false },
] as const;

/** Calls until a call takes the path. */
export async function walk(
  platform: Connected,
  canary: Canary,
  { path, change, demands }: (typeof PATHS)[number],
  signal: AbortSignal,
): Promise<Finding> {
  const [{ until }, { setFunction }] = await Promise.all([import("../../nodes/io/until.ts"), import("../contracts.ts")]);
  const check = `canary ${canary.runtime} ${path}`;
  const { account, name } = canary;
  await platform.bus.ask(setFunction, [], { account, name, change });
  const taken = new Set<string>();
  const look = async (): Promise<Finding | undefined> => {
    const started = performance.now();
    const headers = await call(platform, canary, {}, demands ? { "Pilot-Runtime": canary.runtime } : {});
    const took = headers["Pilot-Path"] ?? "?";
    taken.add(took);
    if (took !== path) return undefined;
    const ms = milliseconds(performance.now() - started);
    return ok(check, `answered in ${ms}, rung ${headers["Pilot-Rung"] ?? "?"}, ${headers["Pilot-Host"] ?? "?"}`);
  };
  const found = await until(look, LIMITS.doctorPath.value, () => signal.aborted);
  const detail = `all calls were answered, but over ${[...taken].join(", ")}`;
  return found ?? warn(check, detail, "see the logs of the frontend and the hosts in <store>/logs");
}

/** A body that fits into no message: it goes by claim check. */
export async function viaLargeBody(platform: Connected, { account, name }: Canary): Promise<Finding> {
  const { openInvoker } = await import("../../nodes/io/invoke.ts");
  const started = performance.now();
  const word = crypto.randomUUID();
  const body = new TextEncoder().encode(JSON.stringify({ word, rest: "x".repeat(BODY_LIMIT) }));
  const invoker = openInvoker({ caller: platform.caller });
  const answered = await invoker.invoke({ account, callee: { name }, body, patienceMs: LIMITS.doctorCall.value });
  expectEcho(answered.body, word);
  return ok("large body", `${bytes(body.length)} went by claim check in ${milliseconds(performance.now() - started)}`);
}

/** A call that sleeps is ended from outside, and its caller hears so. */
export async function viaCancel(platform: Connected, canary: Canary): Promise<Finding> {
  const [{ until }, { cancelCall }] = await Promise.all([import("../../nodes/io/until.ts"), import("../contracts.ts")]);
  let reply = "";
  const calling = call(platform, canary, { sleepMs: LIMITS.doctorCall.value }, {}, (subject) => {
    reply = subject;
  });
  const ended = calling.then(
    () => "was answered, as if nobody had cancelled it",
    (thrown: unknown) => Fault.from(thrown).name,
  );
  const started = performance.now();
  const found = await until(
    async () => ((await platform.bus.ask(cancelCall, [], { reply })).cancelled ? true : undefined),
    LIMITS.doctorPath.value,
  );
  if (found === undefined) throw new Fault("Internal", "nobody had the call that was to be cancelled");
  const outcome = await ended;
  if (outcome !== "Cancelled") throw new Fault("Internal", `the cancelled call ended otherwise: ${outcome}`);
  return ok("cancel", `ended in ${milliseconds(performance.now() - started)}`);
}

/** Code inside the request. */
export async function viaInline(platform: Connected, account: string, runtime: RuntimeName, code: string): Promise<Finding> {
  const started = performance.now();
  const word = crypto.randomUUID();
  const body = new TextEncoder().encode(JSON.stringify({ code, runtime, event: { word } }));
  const answered = await platform.caller.call(SUBJECT.inline(account), body, { timeoutMs: LIMITS.doctorCall.value });
  expectEcho(answered.body, word);
  return ok("inline", `code in the request ran in ${milliseconds(performance.now() - started)}`);
}

/** A call by HTTP through that very gateway; where it asks for a token, which doctor has not, only whether it is ready. */
export async function viaGateway(gateway: Gateway, { account, name }: Canary): Promise<Finding> {
  const { probeHttp } = await import("../../nodes/io/http-probe.ts");
  const check = `${gateway.id} passes on`;
  const limitMs = LIMITS.doctorHost.value - 1_000;
  const started = performance.now();
  const word = crypto.randomUUID();
  const called = await probeHttp(`${gateway.url}/fn/${account}/${name}`, limitMs, JSON.stringify({ word }));
  if (called.status === 0)
    return warn(
      check,
      `${gateway.url} is not reached from here: ${called.text}`,
      "run pilot doctor on that machine, if it listens there only",
    );
  if (called.status === 200) {
    expectEcho(new TextEncoder().encode(called.text), word);
    return ok(check, `a call by HTTP was answered in ${milliseconds(performance.now() - started)}, at ${gateway.url}`);
  }
  if (called.status !== 401) throw new Fault("Internal", `a call by HTTP ended with ${called.status}: ${called.text.slice(0, 200)}`);
  const health = await probeHttp(`${gateway.url}/healthz`, limitMs);
  if (health.status !== 200) throw new Fault("Unavailable", `it is not ready: ${health.text.slice(0, 200)}`);
  return ok(check, `is ready at ${gateway.url}; it asks for a token, so no call was made`);
}

/** One traced call. Rejects with the call's Fault, or Internal when the answer is not the canary's. Resolves with the reply's headers. */
async function call(
  platform: Connected,
  { account, name }: Canary,
  event: Readonly<Record<string, unknown>>,
  demands: Readonly<Record<string, string>>,
  onReplySubject?: (subject: string) => void,
): Promise<Readonly<Record<string, string>>> {
  const word = crypto.randomUUID();
  const body = new TextEncoder().encode(JSON.stringify({ ...event, word }));
  const options = {
    headers: { "Pilot-Trace": "1", ...demands },
    timeoutMs: LIMITS.doctorCall.value,
    ...(onReplySubject && { onReplySubject }),
  };
  const reply = await platform.caller.call(SUBJECT.fn(account, name), body, options);
  expectEcho(reply.body, word);
  return reply.headers;
}

function expectEcho(body: Uint8Array, word: string): void {
  const said = JSON.parse(new TextDecoder().decode(body)) as { echo?: unknown };
  if (said.echo !== word) throw new Fault("Internal", "the canary answered something else than it was told");
}
