/** What became of calls, per function version, since the host's epoch began; outlives slots and containers. */
import { LIMITS } from "../../protocol/limits.ts";
import type { Rung } from "../../protocol/vocabulary.ts";
import { Histogram } from "../kit/histogram.ts";

/** Run times kept per function, for percentiles. */
const KEPT = 256;
/** Weight of the newest run in the moving average. */
const WEIGHT = 0.1;

/** Made once, since one is needed per call. */
const SUCCEEDED: Readonly<Record<Rung, string>> = { hot: "hot|ok", cached: "cached|ok", own: "own|ok", warm: "warm|ok", cold: "cold|ok" };

export class FunctionStats {
  readonly account: string;
  readonly function: string;
  readonly version: number;
  calls = 0;
  direct = 0;
  /** Moving average of run time in ms; undefined while nothing has run. */
  meanRunMs: number | undefined = undefined;
  /** The same without the ways there and back, by the runtimes' own account; undefined where none has said. */
  meanInsideMs: number | undefined = undefined;
  readonly failures: Record<string, number> = {};
  readonly rungs: Record<string, number> = {};
  /** How calls ended, by rung (`none`: it never ran) and outcome (`ok`, or the name of the error), as `rung|outcome`. */
  readonly outcomes = new Map<string, number>();
  /** Durations of runs, and of the waits before them. */
  readonly runs = new Histogram();
  readonly waits = new Histogram();
  changed = false;
  readonly #latest = new Float64Array(KEPT);
  #at = 0;

  constructor(account: string, name: string, version: number) {
    this.account = account;
    this.function = name;
    this.version = version;
  }

  /** `waitMs`: from when the platform received the call. */
  ran(ms: number, waitMs: number): void {
    this.calls++;
    this.runs.add(ms);
    this.waits.add(waitMs);
    this.changed = true;
    this.meanRunMs = this.meanRunMs === undefined ? ms : this.meanRunMs + (ms - this.meanRunMs) * WEIGHT;
    this.#latest[this.#at++ % KEPT] = ms;
  }

  ranInside(ms: number): void {
    this.meanInsideMs = this.meanInsideMs === undefined ? ms : this.meanInsideMs + (ms - this.meanInsideMs) * WEIGHT;
  }

  succeeded(rung: Rung): void {
    const key = SUCCEEDED[rung];
    this.outcomes.set(key, (this.outcomes.get(key) ?? 0) + 1);
  }

  /** `rung` undefined: the call never ran. */
  failed(name: string, rung: Rung | undefined): void {
    this.failures[name] = (this.failures[name] ?? 0) + 1;
    const key = `${rung ?? "none"}|${name}`;
    this.outcomes.set(key, (this.outcomes.get(key) ?? 0) + 1);
  }

  percentiles(): { mean: number; p50: number; p99: number } {
    const runs = this.#latest.slice(0, Math.min(this.#at, KEPT)).sort();
    const at = (share: number): number => runs[Math.min(runs.length - 1, Math.floor(runs.length * share))] ?? 0;
    return { mean: this.meanRunMs ?? 0, p50: at(0.5), p99: at(0.99) };
  }
}

export class Functions {
  readonly #all = new Map<string, FunctionStats>();

  /** The one object of a function version, made when it is new; the oldest is forgotten at LIMITS.functionsKept. */
  of(account: string, name: string, version: number): FunctionStats {
    const key = `${account}.${name}.${version}`;
    const known = this.#all.get(key);
    if (known) return known;
    const stats = new FunctionStats(account, name, version);
    this.#all.set(key, stats);
    if (this.#all.size > LIMITS.functionsKept.value) {
      for (const oldest of this.#all.keys()) {
        this.#all.delete(oldest);
        break;
      }
    }
    return stats;
  }

  all(): IterableIterator<FunctionStats> {
    return this.#all.values();
  }
}
