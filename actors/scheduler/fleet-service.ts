/** Answers operators about hosts, instances and calls: always asked of the hosts themselves, never from an index. */

import { timeOfCall } from "../../protocol/call-id.ts";
import { Fault } from "../../protocol/errors.ts";
import {
  cancelAtKeeper,
  cancelCall,
  describeHost,
  type Preload,
  preloadAtKeeper,
  preloadFunction,
  showCall,
  showFleet,
} from "../../protocol/messages/fleet.ts";
import { cancelOnHost, findCall } from "../../protocol/messages/host.ts";
import { fleetMetrics } from "../../protocol/messages/metrics.ts";
import { SCHEDULERS } from "../../protocol/subjects.ts";
import type { CallRecord, FunctionClass } from "../../protocol/vocabulary.ts";
import type { Bus, Subscription } from "../kit/bus.ts";
import type { Members } from "../kit/members.ts";
import { gatherMetrics } from "./gather-metrics.ts";

/** One of the two is set. */
export interface NamedCall {
  readonly id?: string;
  /** The subject on which its caller waits. */
  readonly reply?: string;
}

export interface FleetServicePorts {
  readonly control: Bus;
  readonly node: string;
  readonly hosts: Members;
  readonly frontends: Members;
  readonly schedulers: Members;
  readonly gateways: Members;
  /** Classes whose manager a scheduler is, as it last said. */
  leads(scheduler: string): readonly FunctionClass[];
  waiting(): Record<string, number>;
  classes(): Record<string, FunctionClass>;
  /** Hosts that were declared lost of late. */
  lost(): readonly { readonly id: string; readonly agoMs: number }[];
  /** Takes a waiting call out of this scheduler's rooms. */
  cancelWaiting(named: NamedCall): boolean;
  /** Looks a call up in the call log, from about the time it was received. */
  findInLog(id: string, receivedAt: number): Promise<CallRecord | undefined>;
  /** Readies containers; legal for the function's keeper only. Resolves with how many. */
  preload(wanted: Preload): Promise<number>;
  /** Whose the function (account.function) is to keep. */
  keeperOf(functionKey: string): string;
}

export function serveFleet(ports: FleetServicePorts): Subscription {
  const { control, node, hosts } = ports;
  const fromAll = <T>(ask: (host: string) => Promise<T>) =>
    Promise.allSettled(hosts.ids().map(async (host) => ({ host, answer: await ask(host) })));

  const parts = [
    control.serve(
      showFleet,
      [],
      async () => {
        const ids = hosts.ids();
        const answers = await fromAll((host) => control.ask(describeHost, [host], {}, 2_000));
        const found = answers.flatMap((result) => (result.status === "fulfilled" ? [result.value.answer] : []));
        const there = new Set(found.map((host) => host.id));
        const nodes = (
          [
            ["frontend", ports.frontends],
            ["scheduler", ports.schedulers],
            ["host", hosts],
            ["gateway", ports.gateways],
          ] as const
        ).flatMap(([role, members]) =>
          members.ids().map((id) => ({
            role,
            id,
            aliveMs: members.silence(id),
            ...(role === "scheduler" && { leads: [...ports.leads(id)] }),
          })),
        );
        const silent = ids.filter((id) => !there.has(id));
        const lost = ports.lost().filter(({ id }) => !hosts.has(id));
        return { hosts: found, silent, lost, nodes, waiting: ports.waiting(), classes: ports.classes() };
      },
      SCHEDULERS,
    ),
    control.serve(
      fleetMetrics,
      [],
      () => gatherMetrics(control, [...hosts.ids(), ...ports.frontends.ids(), ...ports.schedulers.ids(), ...ports.gateways.ids()]),
      SCHEDULERS,
    ),
    control.serve(
      preloadFunction,
      [],
      async (wanted) => {
        const keeper = ports.keeperOf(`${wanted.account}.${wanted.name}`);
        return keeper === node ? { ready: await ports.preload(wanted) } : control.ask(preloadAtKeeper, [keeper], wanted);
      },
      SCHEDULERS,
    ),
    control.serve(preloadAtKeeper, [node], async (wanted) => ({ ready: await ports.preload(wanted) })),
    control.serve(
      showCall,
      [],
      async ({ id }) => {
        const receivedAt = timeOfCall(id);
        if (receivedAt === undefined) throw new Fault("BadRequest", `"${id}" is not a call id`);
        const answers = await fromAll((host) => control.ask(findCall, [host], { call: id }));
        for (const result of answers) {
          if (result.status === "fulfilled" && result.value.answer.record !== undefined)
            return { call: result.value.answer.record as CallRecord };
        }
        const logged = await ports.findInLog(id, receivedAt);
        if (logged === undefined) throw new Fault("NotFound", `there is no record of call ${id}; it may still run, or was not kept`);
        return { call: logged };
      },
      SCHEDULERS,
    ),
    control.serve(
      cancelCall,
      [],
      async ({ id, reply }) => {
        if ((id === undefined) === (reply === undefined))
          throw new Fault("BadRequest", "a call is named by its id or by its reply subject");
        const named: NamedCall = { ...(id !== undefined && { id }), ...(reply !== undefined && { reply }) };
        if (ports.cancelWaiting(named)) return { cancelled: true };
        const order = { ...(id !== undefined && { call: id }), ...(reply !== undefined && { reply }) };
        const others = ports.schedulers.ids().filter((scheduler) => scheduler !== node);
        const answers = [
          ...others.map((scheduler) => control.ask(cancelAtKeeper, [scheduler], named)),
          ...hosts.ids().map((host) => control.ask(cancelOnHost, [host], order)),
        ];
        // One that does not answer is not waited for once another has had the call.
        const had = answers.map(async (answer) =>
          (await answer).cancelled ? true : Promise.reject(new Fault("NotFound", "it is not there")),
        );
        return {
          cancelled: await Promise.any(had).then(
            () => true,
            () => false,
          ),
        };
      },
      SCHEDULERS,
    ),
    control.serve(cancelAtKeeper, [node], (named) => ({ cancelled: ports.cancelWaiting(named) })),
  ];
  return {
    async stop() {
      await Promise.all(parts.map((part) => part.stop()));
    },
  };
}
