/**
 * The canaries of `pilot doctor`: in each runtime that a host offers, a tiny function is deployed and called over the
 * keeper, over a frontend and directly. Each path is provoked by the function's settings and told by the trace.
 */
import type { Connected } from "../nodes/io/nats.ts";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { DOCTOR_ACCOUNT } from "../protocol/names.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../protocol/runtimes.ts";
import { SUBJECT } from "../protocol/subjects.ts";
import type { Finding } from "./doctor.ts";
import type { Host } from "./fleet.ts";
import { milliseconds } from "./output.ts";
import { withFunction } from "./publish.ts";

const SOURCES: Readonly<Record<RuntimeName, string>> = {
  node: "exports.handler = async (event) => ({ echo: event.word });",
  python: "def handler(event, context):\n    return {'echo': event['word']}\n",
};

/** Settings that make calls take a path, in the order in which they are tried. */
const PATHS = [
  { path: "keeper", change: { class: "rare" } },
  { path: "frontend", change: { class: "busy", direct: false } },
  { path: "direct", change: { class: "busy", direct: true } },
] as const;

interface Answered {
  readonly ms: number;
  readonly rung: string;
  readonly path: string;
  readonly host: string;
}

/** Never rejects for what a canary meets: that is a finding. `direct`: whether the broker lets hosts answer directly. */
export async function canaries(platform: Connected, hosts: readonly Host[], direct: boolean, signal: AbortSignal): Promise<Finding[]> {
  const offered = RUNTIME_NAMES.filter((runtime) => hosts.some((host) => Object.hasOwn(host.runtimes, runtime)));
  if (offered.length === 0) {
    return [{ check: "canary", verdict: "fail", detail: "no host offers a runtime", next: "see the log of the host" }];
  }
  const found: Finding[] = [];
  const met = new Set<string>();
  for (const runtime of offered) found.push(...(await canary(platform, runtime, direct, signal, met)));
  const others = hosts.map((host) => host.id).filter((host) => !met.has(host));
  if (met.size > 0 && others.length > 0) {
    const detail = `${[...met].join(", ")} answered; no call came to ${others.join(", ")}: where a call runs is the platform's choice`;
    found.push({ check: "canary hosts", verdict: "ok", detail });
  }
  const { removeAccount } = await import("./contracts.ts");
  // Refused while another doctor is at work, which then removes it.
  await platform.bus.ask(removeAccount, [], { account: DOCTOR_ACCOUNT }).catch(() => undefined);
  return found;
}

async function canary(
  platform: Connected,
  runtime: RuntimeName,
  direct: boolean,
  signal: AbortSignal,
  met: Set<string>,
): Promise<Finding[]> {
  const found: Finding[] = [];
  const name = `canary-${runtime}-${crypto.randomUUID().slice(0, 8)}`;
  const check = `canary ${runtime}`;
  try {
    const { setFunction } = await import("./contracts.ts");
    await withFunction(platform, SOURCES[runtime], runtime, { account: DOCTOR_ACCOUNT, name, settings: { class: "rare" } }, async () => {
      for (const { path, change } of PATHS) {
        if (path === "direct" && !direct) continue;
        if (path !== "keeper") await platform.bus.ask(setFunction, [], { account: DOCTOR_ACCOUNT, name, change });
        found.push(await walk(platform, name, `${check} ${path}`, path, signal, met));
      }
    });
  } catch (thrown) {
    const fault = Fault.from(thrown);
    found.push({ check, verdict: "fail", detail: `${fault.name}: ${fault.message}`, next: "see the log of the host in <store>/logs" });
  }
  return found;
}

/** Calls until a call takes the path. */
async function walk(
  platform: Connected,
  name: string,
  check: string,
  path: string,
  signal: AbortSignal,
  met: Set<string>,
): Promise<Finding> {
  const { until } = await import("../nodes/io/until.ts");
  const taken = new Set<string>();
  const look = async (): Promise<Answered | undefined> => {
    const answered = await call(platform, name);
    met.add(answered.host);
    taken.add(answered.path);
    return answered.path === path ? answered : undefined;
  };
  const found = await until(look, LIMITS.doctorPath.value, () => signal.aborted);
  if (found !== undefined) {
    return { check, verdict: "ok", detail: `answered in ${milliseconds(found.ms)}, rung ${found.rung}, ${found.host}` };
  }
  const detail = `all calls were answered, but over ${[...taken].join(", ")}`;
  return { check, verdict: "warn", detail, next: "see the logs of the frontend and the hosts in <store>/logs" };
}

/** One call. Rejects with the call's Fault, or Internal when the answer is not the canary's. */
async function call(platform: Connected, name: string): Promise<Answered> {
  const word = crypto.randomUUID();
  const started = performance.now();
  const body = new TextEncoder().encode(JSON.stringify({ word }));
  const options = { headers: { "Pilot-Trace": "1" }, timeoutMs: LIMITS.doctorCall.value };
  const reply = await platform.caller.call(SUBJECT.fn(DOCTOR_ACCOUNT, name), body, options);
  const ms = performance.now() - started;
  const said = JSON.parse(new TextDecoder().decode(reply.body)) as { echo?: unknown };
  if (said.echo !== word) throw new Fault("Internal", "the canary answered something else than it was told");
  const told = (header: string): string => reply.headers[header] ?? "?";
  return { ms, rung: told("Pilot-Rung"), path: told("Pilot-Path"), host: told("Pilot-Host") };
}
