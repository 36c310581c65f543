/**
 * The canaries of `pilot doctor`: in each runtime that a host offers, a tiny function is deployed, called on every host, through
 * every frontend and over every path, and removed.
 *
 * C1  A check that fails or hangs is a finding, and the others are made all the same, until LIMITS.doctorAll is over. Nodes are proved side by side.
 * C2  Nothing stays: also after Ctrl-C the functions are removed; what a killed doctor left, the next one removes.
 */
import type { Connected } from "../nodes/io/nats.ts";
import type { Presence } from "../nodes/io/presence.ts";
import { Fault } from "../protocol/errors.ts";
import { LIMITS } from "../protocol/limits.ts";
import { DOCTOR_ACCOUNT } from "../protocol/names.ts";
import { RUNTIME_NAMES, type RuntimeName } from "../protocol/runtimes.ts";
import { checked, type Finding, fail } from "./examine/finding.ts";
import { type Gateway, PATHS, viaCancel, viaGateway, viaInline, viaLargeBody, walk } from "./examine/paths.ts";
import { type Canary, proveFrontend, proveHost, proveKeeper } from "./examine/proofs.ts";
import { Interrupted } from "./failure.ts";
import type { Host } from "./fleet.ts";
import { withFunction } from "./publish.ts";

/** What there is to prove. */
export interface Patient {
  readonly hosts: readonly Host[];
  readonly frontends: readonly string[];
  readonly schedulers: readonly string[];
  readonly gateways: readonly Gateway[];
  /** Whether the broker lets hosts answer directly. */
  readonly direct: boolean;
}

/** Also sleeps when it is told to, so that it can be cancelled. */
const SOURCES: Readonly<Record<RuntimeName, string>> = {
  node: "exports.handler = async (event) => { if (event.sleepMs) await new Promise((end) => setTimeout(end, event.sleepMs)); return { echo: event.word }; };",
  python:
    "import time\n\ndef handler(event, context):\n    time.sleep(event.get('sleepMs', 0) / 1000)\n    return {'echo': event['word']}\n",
};

/** Hosts that are proved at a time. */
const AT_ONCE = 8;
/** Older canaries belong to a doctor that was killed. */
const STALE_MS = 15 * 60_000;
const NEXT = "see the logs of the nodes, in <store>/logs";

/** Rejects with Interrupted only, after it has removed what it made. */
export async function canaries(
  platform: Connected,
  patient: Patient,
  presence: Presence,
  signal: AbortSignal,
  limitMs: number = LIMITS.doctorAll.value,
): Promise<Finding[]> {
  const { openPlacer } = await import("../nodes/io/placer.ts");
  const placer = openPlacer(platform);
  const ports = { placer, presence };
  const found: Finding[] = [];
  const { hosts, frontends, schedulers } = patient;
  const over = new Fault("Unavailable", `its time of ${limitMs / 1_000} s is over: what is not listed was not looked at`);
  let timer: NodeJS.Timeout | undefined;
  const ended = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(new Interrupted("interrupted"));
    else signal.addEventListener("abort", () => reject(new Interrupted("interrupted")), { once: true });
    timer = setTimeout(() => reject(over), limitMs);
  });
  ended.catch(() => undefined);
  const unlessEnded = async (findings: Promise<Finding[]>): Promise<void> => void found.push(...(await Promise.race([findings, ended])));
  try {
    await removeStale(platform);
    await unlessEnded(Promise.all(schedulers.map((scheduler) => proveKeeper(ports, scheduler))));
    const offered = RUNTIME_NAMES.filter((runtime) => hosts.some((host) => Object.hasOwn(host.runtimes, runtime)));
    if (offered.length === 0) found.push(fail("canary", "no host offers a runtime", "see the log of the host"));
    for (const [nth, runtime] of offered.entries()) {
      const name = `canary-${runtime}-${crypto.randomUUID().slice(0, 8)}`;
      const check = `canary ${runtime}`;
      const order = { account: DOCTOR_ACCOUNT, name, settings: { class: "rare" as const } };
      await withFunction(platform, SOURCES[runtime], runtime, order, async ({ version }) => {
        const canary: Canary = { account: DOCTOR_ACCOUNT, name, version: version.version, runtime };
        const able = hosts.filter((host) => Object.hasOwn(host.runtimes, runtime));
        const others =
          nth > 0
            ? []
            : [
                ...frontends.map((frontend) => proveFrontend(ports, frontend, canary)),
                ...patient.gateways.map((gateway) =>
                  checked(`${gateway.id} passes on`, LIMITS.doctorHost.value, NEXT, () => viaGateway(gateway, canary)),
                ),
              ];
        for (let at = 0; at < able.length; at += AT_ONCE)
          await unlessEnded(Promise.all(able.slice(at, at + AT_ONCE).map((host) => proveHost(ports, host, canary))));
        await unlessEnded(Promise.all(others));
        for (const path of PATHS) {
          if (path.path === "direct" && !patient.direct) continue;
          const limitMs = LIMITS.doctorPath.value + LIMITS.doctorCall.value;
          const step = checked(`${check} ${path.path}`, limitMs, NEXT, () => walk(platform, canary, path, signal));
          await unlessEnded(step.then((finding) => [finding]));
        }
        if (nth > 0) return;
        for (const [path, run] of [
          ["large body", () => viaLargeBody(platform, canary)],
          ["cancel", () => viaCancel(platform, canary)],
          ["inline", () => viaInline(platform, DOCTOR_ACCOUNT, runtime, SOURCES[runtime])],
        ] as const) {
          const step = checked(`${check} ${path}`, LIMITS.doctorCall.value, NEXT, run);
          await unlessEnded(step.then((finding) => [{ ...finding, check: `${check} ${path}` }]));
        }
      }).catch((thrown: unknown) => {
        if (thrown instanceof Interrupted) throw thrown;
        if (thrown === over) throw thrown;
        const fault = Fault.from(thrown);
        found.push(fail(check, `${fault.name}: ${fault.message}`, NEXT));
      });
    }
    return found;
  } catch (thrown) {
    if (thrown !== over) throw thrown;
    return [...found, fail("doctor", over.message, "mend what failed first, and look again; other work on the machines slows it down too")];
  } finally {
    clearTimeout(timer);
    const { removeAccount } = await import("./contracts.ts");
    // Refused while another doctor is at work, which then removes it.
    await platform.bus.ask(removeAccount, [], { account: DOCTOR_ACCOUNT }).catch(() => undefined);
    await placer.close();
  }
}

async function removeStale(platform: Connected): Promise<void> {
  const { listFunctions, removeFunction } = await import("./contracts.ts");
  const left = await platform.bus.ask(listFunctions, [], { account: DOCTOR_ACCOUNT }).catch(() => ({ functions: [] }));
  for (const { name, createdAt } of left.functions) {
    if (Date.now() - createdAt < STALE_MS) continue;
    await platform.bus.ask(removeFunction, [], { account: DOCTOR_ACCOUNT, name }).catch(() => undefined);
  }
}
