/** Each node proved by itself: every host runs a call, every frontend passes one on, every keeper answers. */
import type { PlacedCall, PlacedReply, Placer } from "../../nodes/io/placer.ts";
import type { Presence } from "../../nodes/io/presence.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Rung } from "../../protocol/vocabulary.ts";
import type { Host } from "../fleet.ts";
import { milliseconds } from "../output.ts";
import { checked, type Finding, ok, warn } from "./finding.ts";

export interface ProofPorts {
  readonly placer: Placer;
  readonly presence: Presence;
}

/** A deployed canary. */
export interface Canary {
  readonly account: string;
  readonly name: string;
  readonly version: number;
  readonly runtime: string;
}

const LIMIT_MS = LIMITS.doctorHost.value;
/** The call itself gives up before its check does, so that its own error is what is shown. */
const CALL_MS = LIMIT_MS - 1_000;

/** Runs the canary on that very host: from a warm instance where there is one, else from one that is booted for it. */
export function proveHost({ placer, presence }: ProofPorts, host: Host, canary: Canary): Promise<Finding> {
  const check = `${host.id} runs ${canary.runtime}`;
  const next = `see the log of ${host.id}; pilot inspect ${host.id}`;
  return checked(check, LIMIT_MS, next, async () => {
    if (host.draining)
      return warn(
        check,
        "was not tried: it takes nothing new (it drains, or is cordoned)",
        "pilot host ls says which; pilot host uncordon, or start it again",
      );
    const { account, name, version } = canary;
    const call: PlacedCall = { account, function: name, version, memoryMb: LIMITS.memoryDefault.value, timeoutMs: 5_000, keepAliveMs: 0 };
    let refused = "";
    for (const rung of ["warm", "cold"] as const) {
      const started = performance.now();
      const word = crypto.randomUUID();
      const place = {
        rung: rung satisfies Rung,
        instanceMb: LIMITS.memoryDefault.value * 2,
        by: "keeper" as const,
        reason: "pilot doctor",
      };
      const placed = placer.onHost(host.id, call, place, wordBody(word), CALL_MS);
      const answered = await presence.while(host.id, placed).catch((thrown: unknown) => {
        const fault = Fault.from(thrown);
        if (fault.details?.["refused"] === undefined) throw fault;
        refused = fault.message;
        return undefined;
      });
      if (answered === undefined) continue;
      expectWord(answered, word);
      const took = milliseconds(performance.now() - started);
      return ok(
        check,
        `answered in ${took}, rung ${answered.header("Pilot-Rung") ?? "?"}, instance ${answered.header("Pilot-Instance") ?? "?"}`,
      );
    }
    return warn(check, `did not take a call: ${refused}`, "a host that is full cannot be tried; make room, or add a host");
  });
}

/** Hands the canary to that very frontend, which finds it a place as ever. */
export function proveFrontend({ placer, presence }: ProofPorts, frontend: string, canary: Canary): Promise<Finding> {
  const check = `${frontend} passes on`;
  return checked(check, LIMIT_MS, `see the log of ${frontend}; pilot inspect ${frontend}`, async () => {
    const started = performance.now();
    const word = crypto.randomUUID();
    const call = { account: canary.account, function: canary.name, headers: { "Pilot-Trace": "1" }, receivedAt: Date.now(), waitedMs: 0 };
    const answered = await presence.while(frontend, placer.viaFrontend(frontend, call, wordBody(word), CALL_MS));
    expectWord(answered, word);
    return ok(check, `answered in ${milliseconds(performance.now() - started)}, by ${answered.header("Pilot-Host") ?? "?"}`);
  });
}

/** Asks that very keeper. */
export function proveKeeper({ placer, presence }: ProofPorts, scheduler: string): Promise<Finding> {
  const check = `${scheduler} keeps`;
  return checked(check, LIMIT_MS, `see the log of ${scheduler}; pilot inspect ${scheduler}`, async () => {
    const started = performance.now();
    await presence.while(scheduler, placer.askKeeper(scheduler, CALL_MS));
    return ok(check, `its keeper answered in ${milliseconds(performance.now() - started)}`);
  });
}

/** What the canary is told. */
function wordBody(word: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ word }));
}

function expectWord({ body }: PlacedReply, word: string): void {
  const said = JSON.parse(new TextDecoder().decode(body)) as { echo?: unknown };
  if (said.echo !== word) throw new Fault("Internal", "the canary answered something else than it was told");
}
