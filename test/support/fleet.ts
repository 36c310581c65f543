/** Announcements and placement requests for tests: small to write, whole to read. */
import type { PlacementRequest } from "../../actors/scheduler/placement/index.ts";
import type { HostAnnouncement, InstanceHint } from "../../protocol/messages/host.ts";
import { PROTOCOL } from "../../protocol/version.ts";

export function instance(change: Partial<InstanceHint> = {}): InstanceHint {
  return {
    id: "i1",
    runtime: "node",
    memoryMb: 1_024,
    usedMb: 0,
    state: "active",
    account: "main",
    network: false,
    spares: 1,
    booting: 0,
    slots: [],
    code: [],
    ...change,
  };
}

export const warmInstance = (id: string, change: Partial<InstanceHint> = {}): InstanceHint =>
  instance({ id, state: "warm", account: null, ...change });

export function announcement(change: Partial<HostAnnouncement> = {}): HostAnnouncement {
  return {
    host: "h1",
    epoch: "e1",
    seq: 1,
    full: true,
    draining: false,
    memoryMb: 8_192,
    usedMb: 0,
    cores: 2,
    runtimes: { node: "node 20.20.2", python: "python 3.11.2" },
    network: true,
    instances: [],
    gone: [],
    functions: [],
    createMs: { cached: 4, own: 4, warm: 4, cold: 60 },
    protocol: PROTOCOL,
    ...change,
  };
}

export function request(change: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    account: "main",
    functionKey: "main.echo",
    codeKey: "main.echo.1",
    key: "main.echo.1@128",
    runtime: "node",
    network: false,
    memoryMb: 128,
    runtimeWanted: undefined,
    functionCap: 1_000,
    accountCap: 1_000,
    isNew: false,
    otherKeepers: 0,
    ahead: 0,
    waitedMs: 0,
    mayQueue: false,
    evicts: false,
    refusedBy: new Set(),
    instanceMb: 1_024,
    ...change,
  };
}
