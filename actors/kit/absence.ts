/**
 * Has this node been away for so long that others may have declared it lost? Away is: not running, or not connected.
 * What it knew and held before may have been given to others meanwhile.
 */
import { LIMITS } from "../../protocol/limits.ts";
import type { Bus } from "./bus.ts";
import type { Clock } from "./ports.ts";

/** hostSilence less a heartbeat and the delays of both. */
const ABSENCE_MS = LIMITS.hostSilence.value - 1.5 * LIMITS.nodeHeartbeat.value;

export class Absence {
  readonly #clock: Clock;
  readonly #connections: readonly Bus[];
  #wellAt: number;

  constructor(clock: Clock, connections: readonly Bus[]) {
    this.#clock = clock;
    this.#connections = connections;
    this.#wellAt = clock.now();
  }

  get isConnected(): boolean {
    return this.#connections.every((connection) => connection.connected);
  }

  /** True when such an absence has just ended: once for each. To be asked several times a second, and before anything is done on what was known. */
  hasEnded(): boolean {
    if (!this.isConnected) return false;
    const now = this.#clock.now();
    const away = now - this.#wellAt;
    this.#wellAt = now;
    return away > ABSENCE_MS;
  }
}
