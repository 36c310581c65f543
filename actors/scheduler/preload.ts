/**
 * Readies containers before any call (F024): the same ladder as for a call, without its hot rung. Only the function's keeper
 * does it, since it alone knows what is on order.
 */

import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Preload } from "../../protocol/messages/fleet.ts";
import { provisionContainer } from "../../protocol/messages/host.ts";
import { LIVE_ALIAS, slotKey } from "../../protocol/names.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import type { Fleet } from "./fleet.ts";
import type { Tenure } from "./keeper/tenure.ts";
import { type PlacementRequest, placeNew, type Verdict } from "./placement/index.ts";

export interface PreloadPorts {
  readonly control: Bus;
  readonly clock: Clock;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly tenure: Tenure;
  readonly instanceMb: number;
}

/** What stays the same however long it takes. */
type Wanted = Omit<PlacementRequest, "isNew">;

/** Negative, so that they never meet the numbers of calls. */
let nextOrder = -1;
const RETRY_MS = 20;

/** Readies `count` more containers of the live version; resolves with how many are. Rejects when not even one is. */
export async function preload(ports: PreloadPorts, { account, name, count, memoryMb }: Preload): Promise<number> {
  const record = ports.registry.function(account, name) ?? (await ports.registry.readThrough(account, name));
  const version = record?.aliases[LIVE_ALIAS]?.[0]?.version;
  if (record === undefined || version === undefined)
    throw new Fault("FunctionNotFound", `there is no function ${name} in account ${account}`);
  const code = await ports.registry.version(account, name, version);
  if (code === undefined) throw new Fault("FunctionNotFound", `version ${version} of ${name} is gone`);
  const amount = memoryMb ?? record.settings.memoryMb;
  const request: Wanted = {
    account,
    functionKey: `${account}.${name}`,
    codeKey: `${account}.${name}.${version}`,
    key: slotKey(account, name, version, amount),
    runtime: code.runtime,
    network: code.network,
    memoryMb: amount,
    runtimeWanted: undefined,
    functionCap: record.settings.containers,
    accountCap: ports.registry.account(account)?.containers ?? LIMITS.containersPerAccount.value,
    otherKeepers: ports.tenure.others,
    ahead: 0,
    waitedMs: 0,
    mayQueue: false,
    refusedBy: new Set(),
    evicts: false,
    instanceMb: ports.instanceMb,
  };
  const results = await Promise.allSettled(
    Array.from({ length: count }, () => readyOne(ports, request, version, record.settings.keepAliveMs)),
  );
  const ready = results.filter((result) => result.status === "fulfilled").length;
  const [failed] = results.filter((result) => result.status === "rejected");
  if (ready === 0 && failed !== undefined) throw Fault.from(failed.reason);
  return ready;
}

async function readyOne(ports: PreloadPorts, request: Wanted, version: number, keepAliveMs: number): Promise<void> {
  const { clock, control, fleet, tenure } = ports;
  const until = clock.now() + LIMITS.boot.value;
  for (;;) {
    const verdict: Verdict = placeNew({ ...request, isNew: !tenure.isSettled(request.functionKey) }, fleet);
    if (verdict.kind === "refuse") throw new Fault(verdict.error, verdict.reason);
    if (verdict.kind === "place") {
      const order = nextOrder--;
      const { host, rung, instance } = verdict;
      fleet.order(order, {
        host,
        rung,
        instance,
        key: request.key,
        functionKey: request.functionKey,
        account: request.account,
        runtime: request.runtime,
        memoryMb: request.memoryMb,
      });
      try {
        const { account, memoryMb } = request;
        const name = request.functionKey.slice(account.length + 1);
        await control.ask(provisionContainer, [host], {
          account,
          function: name,
          version,
          memoryMb,
          keepAliveMs,
          rung,
          ...(instance !== undefined && { instance }),
          ...(verdict.instanceMb !== undefined && { instanceMb: verdict.instanceMb }),
        });
        return;
      } catch (thrown) {
        const fault = Fault.from(thrown);
        if (fault.fault !== "platform" || clock.now() > until) throw fault;
      } finally {
        fleet.settled(order);
      }
    } else if (clock.now() > until) throw new Fault("Throttled", `no place for a container: ${verdict.reason}`);
    await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
  }
}
