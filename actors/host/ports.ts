/** What a host agent gets from outside, its options, and what it is to whoever started it. */
import type { Static } from "typebox";
import type { HostSchema } from "../../protocol/messages/fleet.ts";
import type { RuntimeName } from "../../protocol/runtimes.ts";
import type { PoolTarget, VersionRecord } from "../../protocol/vocabulary.ts";
import type { Sandbox } from "../instance/sandbox.ts";
import type { BodyStore } from "../kit/body-store.ts";
import type { Bus } from "../kit/bus.ts";
import type { Inspected } from "../kit/inspection.ts";
import type { Clock, Log, Random } from "../kit/ports.ts";
import type { CodeCache } from "./code.ts";

/** Where `context.kv` is kept. All rejections are Faults; no account sees another's keys. */
export interface DataStore {
  /** Undefined when absent. */
  get(account: string, key: string): Promise<Uint8Array | undefined>;
  put(account: string, key: string, value: Uint8Array): Promise<void>;
  /** Absent is no error. */
  delete(account: string, key: string): Promise<void>;
}

export interface HostPorts {
  /** The host slept for so long that others have declared it lost. It runs nothing any more: its process has to close it, once what it has answered is sent, and end. */
  readonly lost?: () => void;
  /** The connection of calls and their bodies. */
  readonly bus: Bus;
  /** The connection of announcements, reports, grants and questions. */
  readonly control: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly sandbox: Sandbox;
  readonly code: CodeCache;
  /** The record of one version; rejects with Fault FunctionNotFound. The host remembers answers: versions are immutable. */
  versions(account: string, name: string, version: number): Promise<VersionRecord>;
  /** The stack in terms of the function's own source, where a map exists. */
  mapStack(digest: string, stack: string): Promise<string> | string;
  readonly data: DataStore;
  /** Keeps for the next start of the host whether it is cordoned. Default: nobody does. */
  readonly keepCordon?: (cordoned: boolean) => Promise<void>;
  /** Large bodies of calls and results. */
  readonly bodies: BodyStore;
}

export interface HostOptions {
  readonly host: string;
  /** Memory that may be given to containers, in MB. */
  readonly memoryMb: number;
  readonly cores: number;
  /** Size of an instance in MB when nobody says another. Default 1024. */
  readonly instanceMb?: number;
  /** Blank booted containers that an active instance keeps. Default 1. */
  readonly sparesPerInstance?: number;
  readonly pools: readonly PoolTarget[];
  /** True: it starts cordoned. Default false. */
  readonly cordoned?: boolean;
  /**
   * False: grants are refused, so that every call passes a frontend. For brokers that do not drop a hung member of the
   * desk: it would swallow its share of the calls. Default true.
   */
  readonly answersDirectly?: boolean;
  /** Runtimes offered here, with their version text ("node 20.20.2"), or just the name while that is not known. Default: all, by name. */
  readonly runtimes?: Partial<Record<RuntimeName, string>>;
}

export type HostDescription = Static<typeof HostSchema>;

export interface Host extends Inspected {
  /** Takes nothing new, waits for running calls (for `waitMs` at most, by default LIMITS.drain), destroys every instance. Legal twice: the first time counts. */
  drain(waitMs?: number): Promise<void>;
  /** Resolves when an operator has asked it to drain and not to come back, with how long calls may go on; the drain has begun then. */
  readonly dismissed: Promise<number>;
  /** Ends everything at once; calls that run are answered InstanceLost. */
  close(): Promise<void>;
  describe(): HostDescription;
  /** What it holds of calls now; at rest all are 0. */
  held(): Readonly<Record<string, number>>;
}
