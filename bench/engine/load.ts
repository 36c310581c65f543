/**
 * Load on anything that takes bytes and gives bytes.
 *
 * L1  Every body carries a number of its own in its first bytes; an answer with another number is wrong, none is lost.
 * L2  In the open loop latency counts from the intended arrival, so that a late start is not hidden.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { Fault } from "../../protocol/errors.ts";

/** One call: resolves with the reply's body. */
export type Call = (body: Uint8Array) => Promise<Uint8Array>;

/** What one measurement saw. Times in milliseconds. */
export interface Sample {
  readonly calls: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly mean: number;
  readonly max: number;
  /** Calls without a reply, or with an error. */
  readonly lost: number;
  /** Replies that are not the caller's own bytes. */
  readonly wrong: number;
  /** Names of the errors, counted. */
  readonly failures: Readonly<Record<string, number>>;
}

/** First byte of every body: no JSON begins so, hence handlers get bytes and nobody parses. */
const NOT_JSON = 0x01;
const NUMBER_BYTES = 8;

interface Sums {
  readonly ns: RecordableHistogram;
  readonly failures: Map<string, number>;
  lost: number;
  wrong: number;
}

let number = 0;

/** Bytes of the given size (at least 16) with the next number in front. A fresh copy, since a call may hold it for long. */
export function numbered(size: number): Uint8Array {
  const body = Buffer.alloc(Math.max(16, size), 0x61);
  body[0] = NOT_JSON;
  body.writeUIntBE(number, 1, 6);
  number += 1;
  return body;
}

function same(sent: Uint8Array, got: Uint8Array): boolean {
  if (got.length !== sent.length) return false;
  for (let at = 0; at < NUMBER_BYTES; at += 1) if (got[at] !== sent[at]) return false;
  return true;
}

async function one(call: Call, size: number, began: bigint, sums: Sums): Promise<void> {
  const body = numbered(size);
  try {
    const reply = await call(body);
    const ns = process.hrtime.bigint() - began;
    sums.ns.record(ns > 0n ? ns : 1n);
    if (!same(body, reply)) sums.wrong += 1;
  } catch (thrown) {
    sums.lost += 1;
    const { name } = Fault.from(thrown);
    sums.failures.set(name, (sums.failures.get(name) ?? 0) + 1);
  }
}

const begin = (): Sums => ({ ns: createHistogram(), failures: new Map(), lost: 0, wrong: 0 });

function end(sums: Sums, seconds: number): Sample {
  const { ns } = sums;
  const ms = (value: number): number => (ns.count === 0 ? Number.NaN : value / 1e6);
  return {
    calls: ns.count,
    seconds,
    perSecond: ns.count / seconds,
    p50: ms(ns.percentile(50)),
    p99: ms(ns.percentile(99)),
    mean: ms(ns.mean),
    max: ms(ns.max),
    lost: sums.lost,
    wrong: sums.wrong,
    failures: Object.fromEntries(sums.failures),
  };
}

/** Closed loop: `inFlight` lanes, each with one call at a time, for `ms` milliseconds; calls under way at the end are waited for. */
export async function closedLoop(
  call: Call,
  load: { readonly inFlight: number; readonly size: number; readonly ms: number },
): Promise<Sample> {
  const sums = begin();
  const began = performance.now();
  const until = began + load.ms;
  const lane = async (): Promise<void> => {
    while (performance.now() < until) await one(call, load.size, process.hrtime.bigint(), sums);
  };
  await Promise.all(Array.from({ length: load.inFlight }, lane));
  return end(sums, (performance.now() - began) / 1_000);
}

/** Open loop: Poisson arrivals at `perSecond` for `ms` milliseconds; calls under way at the end are waited for. */
export async function openLoop(
  call: Call,
  load: { readonly perSecond: number; readonly size: number; readonly ms: number },
): Promise<Sample> {
  const sums = begin();
  const began = process.hrtime.bigint();
  const running: Promise<void>[] = [];
  const gap = (): bigint => BigInt(Math.round((-Math.log(1 - Math.random()) / load.perSecond) * 1e9));
  let next = gap();
  const length = BigInt(load.ms) * 1_000_000n;
  while (next < length) {
    const now = process.hrtime.bigint() - began;
    for (; next <= now && next < length; next += gap()) running.push(one(call, load.size, began + next, sums));
    const rest = Number(next - (process.hrtime.bigint() - began)) / 1e6;
    // A timer is good to a millisecond; what is nearer is waited for a turn of the event loop at a time.
    await new Promise<void>((resolve) => void (rest > 2 ? setTimeout(resolve, rest - 1) : setImmediate(resolve)));
  }
  await Promise.all(running);
  return end(sums, load.ms / 1_000);
}
