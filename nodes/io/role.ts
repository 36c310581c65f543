/**
 * The frame of a node process: reads its environment, opens log and connections, tells the supervisor that it is
 * ready and alive, drains when asked, and ends when the supervisor is gone.
 */
import { NatsError } from "nats";
import type { Inspected } from "../../actors/kit/inspection.ts";
import type { Log } from "../../actors/kit/ports.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { inboxOf, SUBJECT } from "../../protocol/subjects.ts";
import { type RoleEnvironment, readRoleEnvironment } from "../supervisor/role-environment.ts";
import { systemClock } from "./clock.ts";
import { resolveConnection } from "./context.ts";
import { flushed } from "./flushed.ts";
import { claimId } from "./identity.ts";
import { openLog } from "./log.ts";
import { type Connected, connect } from "./nats.ts";
import type { NodeMessage, SupervisorMessage } from "./role-process.ts";
import { serveInspection } from "./serve-inspection.ts";
import { storageReady } from "./storage.ts";

export interface RoleContext {
  readonly settings: RoleEnvironment;
  readonly log: Log;
  /** For calls and their bodies, and for everything else: a flood of bodies silences nobody. */
  readonly calls: Connected;
  readonly control: Connected;
  /** One more connection of this node, for what must not stand in front of calls. It is closed with the others. */
  readonly open: (purpose: string) => Promise<Connected>;
}

/** What a role gives back. */
export interface RunningRole {
  /** Finishes its work in order, what runs within that time. Legal twice. */
  drain(waitMs: number): Promise<void>;
  /** Whom `pilot inspect` and the metrics ask. */
  readonly inspected?: Inspected;
  /** Resolves when somebody from afar asked it to stop, with how long it may take: the node drains, and is not started again. */
  readonly dismissed?: Promise<number>;
}

/** Runs one role in this process until it is told to drain or its supervisor disappears. */
export async function runRole(start: (context: RoleContext) => Promise<RunningRole>): Promise<void> {
  const tell = (message: NodeMessage) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  };
  let log: Log | undefined;
  let wasStorageReady = false;
  const cannotGoOn = (fault: Fault): void => {
    log?.error("cannot go on", { error: fault.stack, cause: String(fault.cause ?? "") });
    // The broker went away in the middle of the start: the next one waits for it from the beginning.
    const isPassing = wasStorageReady && fault.name === "Unavailable" && fault.cause instanceof NatsError;
    if (!isPassing) tell({ type: "fatal", message: fault.message, name: fault.details?.["id"] === undefined ? undefined : "Conflict" });
    setImmediate(() => process.exit(1));
  };
  try {
    const settings = readRoleEnvironment(process.env);
    log = openLog(settings.role, settings.node, settings.logLevel);
    const stop = stopSignal();
    systemClock.every(LIMITS.nodeBeat.value, () => {
      // The channel may have closed before anybody listened for that.
      if (!process.connected) process.exit(1);
      tell({ type: "beat" });
    });
    // A node that still waits for its broker has nothing to drain.
    let started = false;
    void stop.then(() => {
      if (!started) process.exit(0);
    });
    const connection = await resolveConnection({ context: settings.context }, {});
    const open = (purpose: string) =>
      connect(connection, {
        name: `${settings.node} ${purpose}`,
        role: settings.role,
        node: settings.node,
        patient: true,
        ordered: true,
        probed: purpose === "control",
        asks: purpose === "calls",
        onRefused(subject) {
          // Nobody would ever hear of it, or it would hear no answer.
          const { role, node } = settings;
          if (subject !== SUBJECT.announce(role, node) && !subject.startsWith(`${inboxOf(role, node)}.`)) return;
          cannotGoOn(new Fault("NotAllowed", `its credential is not one for a ${role} of that id: the broker refuses ${subject}`));
        },
        ...(log !== undefined && { log }),
        onStatus: (status) => log?.warn(`${status === "disconnected" ? "lost" : "regained"} the broker`, { connection: purpose }),
      });
    const [calls, control] = await Promise.all([open("calls"), open("control")]);
    await claimId(control, settings, log, cannotGoOn);
    if (settings.role !== "gateway") await storageReady(control.nc, settings.role !== "scheduler", log);
    wasStorageReady = true;
    const more: Connected[] = [];
    const openMore = async (purpose: string) => {
      const opened = await open(purpose);
      more.push(opened);
      return opened;
    };
    const role = await start({ settings, log, calls, control, open: openMore });
    started = true;
    if (role.inspected !== undefined) {
      const metrics = serveInspection({ node: settings.node, role: settings.role, calls, control, inspected: role.inspected });
      process.on("message", (message: SupervisorMessage) => {
        if (message.type === "metrics") tell({ type: "metrics", number: message.number, metrics: metrics() });
      });
    }
    // Subscriptions are known to the broker before anybody is told that this node is ready.
    await Promise.all([calls, control, ...more].map(({ nc }) => flushed(nc)));
    tell({ type: "ready" });
    log.info("ready");
    const asked = stop.then((waitMs) => ({ waitMs, dismissed: false }));
    const fromAfar = role.dismissed?.then((waitMs) => ({ waitMs, dismissed: true }));
    const { waitMs, dismissed } = await Promise.race([asked, ...(fromAfar === undefined ? [] : [fromAfar])]);
    if (dismissed) tell({ type: "draining", waitMs });
    await role.drain(waitMs);
    await Promise.all([calls, control, ...more].map((connected) => connected.close()));
    log.info("stopped in order");
    if (dismissed) await new Promise((resolve) => process.send?.({ type: "over" } satisfies NodeMessage, undefined, undefined, resolve));
    process.exit(0);
  } catch (thrown) {
    cannotGoOn(Fault.from(thrown));
  }
}

/** Resolves when the supervisor or an operator asks for an end, with how long work may go on, in ms; a lost supervisor ends the process at once. */
function stopSignal(): Promise<number> {
  return new Promise((resolve) => {
    process.on("message", (message) => {
      const { type, waitMs = LIMITS.drain.value } = message as { readonly type?: string; readonly waitMs?: number };
      if (type === "drain") resolve(waitMs);
    });
    process.on("disconnect", () => process.exit(1));
    process.on("SIGTERM", () => resolve(LIMITS.drain.value));
    // Ctrl-C reaches the whole terminal group: the supervisor decides.
    process.on("SIGINT", () => undefined);
  });
}
