/** The words of DESIGN.md §1 as types, and the records that are kept. */
import type { RuntimeName } from "./runtimes.ts";

export const RUNGS = ["hot", "cached", "own", "warm", "cold"] as const;
/** How a call was placed, cheapest first. */
export type Rung = (typeof RUNGS)[number];

/** Which way a call took: answered at the desk, placed by a frontend, or placed by a keeper. */
export type Path = "direct" | "frontend" | "keeper";

/** How a function's capacity is planned. */
export type FunctionClass = "rare" | "busy";

export const COLD_CAUSES = ["first", "scale-out", "evicted", "code-changed", "amount-changed", "host-lost"] as const;
export type ColdCause = (typeof COLD_CAUSES)[number];

/** One share of an alias: `weight` of 100 parts go to `version`. */
export interface AliasShare {
  readonly version: number;
  readonly weight: number;
}

/** What may be changed without a new version. */
export interface FunctionSettings {
  readonly memoryMb: number;
  readonly timeoutMs: number;
  readonly keepAliveMs: number;
  /** Undefined: decided from use (busy after the third call in 10 s). */
  readonly class?: FunctionClass;
  /** False: never granted to hosts; every call passes a frontend. */
  readonly direct: boolean;
  /** A call whose host died while it ran may be run again. */
  readonly idempotent: boolean;
  /** Most containers at a time. */
  readonly containers: number;
}

/** A function as stored; its key is `<account>.<name>`. */
export interface FunctionRecord {
  readonly account: string;
  readonly name: string;
  readonly settings: FunctionSettings;
  readonly aliases: Readonly<Record<string, readonly AliasShare[]>>;
  /** Number of the newest version. */
  readonly newest: number;
  /** Versions that still exist. */
  readonly versions: readonly number[];
  readonly createdAt: number;
  readonly changedAt: number;
}

/** One immutable version; its key is `<account>.<name>.<version>`. */
export interface VersionRecord {
  readonly account: string;
  readonly name: string;
  readonly version: number;
  readonly runtime: RuntimeName;
  readonly handler: string;
  /** sha256 of the code, in hex; also its name in the object store. */
  readonly digest: string;
  readonly bytes: number;
  readonly hasMap: boolean;
  readonly environment: Readonly<Record<string, string>>;
  readonly network: boolean;
  readonly createdAt: number;
}

/** An account: stored execution parameters that bound every run (F006). */
export interface AccountRecord {
  readonly name: string;
  /** Upper bound for run time; undefined: the platform's. */
  readonly timeoutMs?: number;
  /** Upper bound for memory amounts. */
  readonly memoryMb?: number;
  /** Most containers at a time. */
  readonly containers: number;
  /** False: every call is refused with NotAllowed. */
  readonly active: boolean;
  readonly createdAt: number;
}

/** How many instances of one configuration each host keeps warm. */
export interface PoolTarget {
  readonly runtime: RuntimeName;
  readonly memoryMb: number;
  readonly warm: number;
}

/** What is known of one finished call. Times are ms since 1970 with fractions, from the host's clock except `receivedAt`. */
export interface CallRecord {
  readonly id: string;
  readonly account: string;
  readonly function: string;
  /** 0 for inline code. */
  readonly version: number;
  readonly rung: Rung;
  readonly path: Path;
  readonly class: FunctionClass;
  readonly host: string;
  readonly instance: string;
  readonly container: string;
  readonly memoryMb: number;
  readonly attempt: number;
  readonly coldCause?: ColdCause;
  readonly reason?: string;
  readonly receivedAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Name of the error; undefined when the call succeeded. */
  readonly error?: string;
  readonly message?: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Memory of the container at its highest and cpu time of this run, where the sandbox can tell. */
  readonly memoryPeakBytes?: number;
  readonly cpuMicroseconds?: number;
}

/** Who leads a class, as its lease says: a scheduler, and which life of it. */
export interface LeaseRecord {
  readonly holder: string;
  readonly life: string;
}
