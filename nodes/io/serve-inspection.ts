/**
 * Answers `inspect` and `metrics` for the role that runs in this process: what the role tells of itself, and what only its
 * process knows (its connections, its memory, its event loop). Every role is asked in the same way, over the broker or by its supervisor.
 */
import type { Inspected, ProcessFacts } from "../../actors/kit/inspection.ts";
import { Samples } from "../../actors/kit/samples.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { inspectNode, type NodeInspection } from "../../protocol/messages/inspect.ts";
import { type NodeMetrics, nodeMetrics } from "../../protocol/messages/metrics.ts";
import { limitHits } from "../../protocol/metrics.ts";
import { VERSION } from "../../protocol/version.ts";
import { systemClock } from "./clock.ts";
import type { Connected } from "./nats.ts";
import { watchProcess } from "./process-facts.ts";

export interface InspectionPorts {
  readonly node: string;
  readonly role: string;
  readonly calls: Connected;
  readonly control: Connected;
  readonly inspected: Inspected;
}

/** Serves both from now on, until the connection closes. Gives the metrics of now for whoever asks in another way. */
export function serveInspection({ node, role, calls, control, inspected }: InspectionPorts): () => NodeMetrics {
  const startedAt = systemClock.epoch();
  const readProcess = watchProcess();
  let reconnects = 0;
  for (const { nc } of [calls, control]) {
    void (async () => {
      for await (const { type } of nc.status()) if (type === "reconnect") reconnects++;
    })();
  }
  const processFacts = (): ProcessFacts => ({ ...readProcess(), reconnects });

  control.bus.serve(inspectNode, [node], ({ actor }): NodeInspection => {
    const { epoch, actors, counters, held, waits, address } = inspected.inspect();
    const wanted = actor === undefined ? actors : actors.filter(({ id }) => id === actor || id === `instance/${actor}`);
    if (actor !== undefined && wanted.length === 0) throw new Fault("NotFound", `${node} has no ${actor}: ${namesOf(actors)}`);
    const shown = wanted.slice(0, LIMITS.actorsShown.value);
    const at = systemClock.epoch();
    return {
      node,
      role,
      epoch,
      version: VERSION,
      startedAt,
      at,
      uptimeMs: at - startedAt,
      servers: { calls: serverOf(calls), control: serverOf(control) },
      ...(address !== undefined && { address }),
      process: processFacts(),
      actors: shown.map((view) => ({ ...view, transitions: [...view.transitions] })),
      actorsLeft: wanted.length - shown.length,
      counters: { ...counters },
      held: { ...held },
      waits: waits.slice(0, LIMITS.actorsShown.value),
      limits: limitHits(counters),
    };
  });

  const metrics = (): NodeMetrics => {
    const samples = new Samples(inspected.metrics());
    const { epoch } = inspected.inspect();
    addProcess(samples, processFacts());
    samples.add("pilot_node_info", 1, VERSION, epoch);
    samples.add("pilot_node_start_time_seconds", startedAt / 1_000);
    samples.add("pilot_broker_reconnects_total", reconnects);
    samples.add("pilot_broker_connected", calls.bus.connected ? 1 : 0, "calls");
    samples.add("pilot_broker_connected", control.bus.connected ? 1 : 0, "control");
    return { node, role, epoch, at: systemClock.epoch(), metrics: samples.toRecord() };
  };
  control.bus.serve(nodeMetrics, [node], metrics);
  return metrics;
}

/** What there is instead, for the error: the first of them. */
function namesOf(actors: readonly { readonly id: string }[]): string {
  const names = actors.map(({ id }) => id);
  return names.length <= 20 ? names.join(", ") : `${names.slice(0, 20).join(", ")} and ${names.length - 20} more`;
}

function serverOf({ nc }: Connected): string {
  const name = nc.info?.server_name;
  return name === undefined || name === "" ? nc.getServer() : `${name} (${nc.getServer()})`;
}

function addProcess(samples: Samples, { memoryBytes, heapBytes, cpuSeconds, loopDelayMs, machine, openFiles }: ProcessFacts): void {
  samples.each("pilot_process_memory_bytes", { resident: memoryBytes, heap: heapBytes });
  samples.add("pilot_process_cpu_seconds_total", cpuSeconds);
  if (openFiles !== undefined) samples.add("pilot_process_open_files", openFiles);
  samples.add("pilot_event_loop_delay_p99_seconds", loopDelayMs.p99 / 1_000);
  samples.add("pilot_event_loop_delay_max_seconds", loopDelayMs.max / 1_000);
  samples.each("pilot_machine_cpu_seconds_total", { busy: machine.busySeconds, idle: machine.idleSeconds });
  samples.add("pilot_machine_load", machine.load1);
}
