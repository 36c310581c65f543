/** What a host is asked on its control connection: grants, recalls, preloads, cancels, questions. */
import { Fault } from "../../protocol/errors.ts";
import { describeHost } from "../../protocol/messages/fleet.ts";
import {
  cancelOnHost,
  cordonHost,
  drainHost,
  findCall,
  grantFunctions,
  provisionContainer,
  recallGrant,
} from "../../protocol/messages/host.ts";
import { syncNode } from "../../protocol/messages/sync.ts";
import type { Bus, Subscription } from "../kit/bus.ts";
import type { Call } from "./call.ts";
import type { Desk } from "./desk.ts";
import type { Instances } from "./instances.ts";
import type { Pool } from "./pool.ts";
import type { HostDescription } from "./ports.ts";
import type { Records } from "./records.ts";
import type { Runner } from "./runner.ts";
import type { Slot } from "./slot.ts";
import type { Slots } from "./slots.ts";
import type { Supply } from "./supply.ts";
import type { Versions } from "./versions.ts";

export interface ControlPorts {
  readonly host: string;
  readonly control: Bus;
  readonly desk: Desk;
  readonly slots: Slots;
  readonly supply: Supply;
  readonly instances: Instances;
  readonly versions: Versions;
  readonly runner: Runner;
  readonly records: Records;
  readonly pool: Pool;
  /** Tells at once what has changed. */
  announce(): void;
  isTaking(): boolean;
  isCordoned(): boolean;
  cordon(cordoned: boolean): Promise<void>;
  /** Begins the orderly stop for good. */
  dismiss(waitMs: number): void;
  /** Calls that are not finished. */
  left(): number;
  describe(): HostDescription;
}

/** Serves all of it; stop what is returned to end that. */
export function serveControl(ports: ControlPorts): Subscription[] {
  const { control, host, desk } = ports;
  return [
    control.serve(grantFunctions, [host], ({ grants, leaderEpoch }) => desk.grant(grants, leaderEpoch)),
    control.serve(recallGrant, [host], ({ account, function: name, epoch, leaderEpoch }) => desk.recall(account, name, epoch, leaderEpoch)),
    control.serve(provisionContainer, [host], (wanted) => provision(ports, wanted)),
    control.serve(cancelOnHost, [host], (named) => ({ cancelled: cancel(ports, named) })),
    control.serve(findCall, [host], ({ call }) => {
      const record = ports.records.find(call);
      return record === undefined ? {} : { record };
    }),
    control.serve(cordonHost, [host], async ({ cordoned }) => {
      if (!ports.isTaking() && !ports.isCordoned()) throw new Fault("Draining", "the host is stopping");
      await ports.cordon(cordoned);
      return { cordoned };
    }),
    control.serve(drainHost, [host], ({ waitMs }) => {
      ports.dismiss(waitMs);
      return { left: ports.left() };
    }),
    control.serve(describeHost, [host], () => ports.describe()),
    control.serve(syncNode, [host], async (change) => {
      if (change.function?.record === null) forget(ports, change.function.key);
      if (change.account?.record === null) forgetAccount(ports, change.account.key);
      if (change.pools) await ports.pool.set(change.pools);
      return {};
    }),
  ];
}

type Wanted = ReturnType<typeof provisionContainer.request.parse>;

async function provision(ports: ControlPorts, wanted: Wanted): Promise<{ container: string }> {
  const code = await ports.versions.codeOf(wanted);
  if (!ports.isTaking()) throw new Fault("Draining", "the host is stopping");
  const slot = ports.slots.of(wanted);
  return new Promise((resolve, reject) => {
    const refused = ports.supply.make({
      slot,
      code,
      rung: wanted.rung,
      instance: wanted.instance,
      instanceMb: wanted.instanceMb,
      class: "rare",
      preload: true,
      ready(container) {
        // Who asked may ask for the next one at once: its picture must hold this one.
        ports.announce();
        resolve({ container: container.id });
      },
      failed: reject,
    });
    if (!refused) return;
    ports.slots.release(slot);
    reject(new Fault("Unavailable", refused.reason, { refused: refused.refused }));
  });
}

/** Ends a call that runs or waits here. */
function cancel({ runner, slots }: ControlPorts, named: ReturnType<typeof cancelOnHost.request.parse>): boolean {
  const isMeant = (call: Call): boolean => (named.call === undefined ? call.reply === named.reply : call.id === named.call);
  const fault = new Fault("Cancelled", "the call was cancelled");
  for (const container of runner.busy) {
    if (runner.cancelAhead(container, isMeant, fault)) return true;
    if (container.call === undefined || !isMeant(container.call)) continue;
    runner.end(container, fault);
    return true;
  }
  for (const slot of slots.all()) {
    const [call] = slot.takeOut(isMeant);
    if (!call) continue;
    runner.fail(call, fault);
    return true;
  }
  return false;
}

/** An account was removed: containers of it, those of code inside requests too, have no further use. */
function forgetAccount(ports: ControlPorts, account: string): void {
  for (const slot of [...ports.slots.all()]) if (slot.account === account) retire(ports, slot);
}

/** A function was removed: its containers have no further use, and its version numbers may come again. */
function forget(ports: ControlPorts, key: string): void {
  const [account = "", name = ""] = key.split(".");
  ports.versions.forget(account, name);
  for (const slot of [...ports.slots.all()])
    if (slot.account === account && slot.function === name && slot.version !== 0) retire(ports, slot);
}

/** What is idle ends now, what runs or is being made when its last call is over. */
function retire({ instances, slots }: ControlPorts, slot: Slot): void {
  slots.retire(slot);
  for (const container of [...slot.idle]) instances.discard(container);
}
