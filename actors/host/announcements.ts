/** What the host has, told to everybody: in full at every heartbeat, in part within 20 ms of a change. Numbers are cumulative. */
import { LIMITS } from "../../protocol/limits.ts";
import { type HostAnnouncement, hostAnnouncement, type InstanceHint } from "../../protocol/messages/host.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Timer } from "../kit/ports.ts";
import type { CreateTimes } from "./create-times.ts";
import type { FunctionStats, Functions } from "./functions.ts";
import type { Instance } from "./instance.ts";
import type { Instances } from "./instances.ts";
import type { Slots } from "./slots.ts";

const HURRY_MS = 2;

export interface AnnouncementsPorts {
  readonly host: string;
  readonly epoch: string;
  readonly memoryMb: number;
  readonly cores: number;
  /** Whether its sandbox can give functions a network. */
  readonly network: boolean;
  readonly control: Bus;
  readonly clock: Clock;
  readonly instances: Instances;
  readonly functions: Functions;
  readonly slots: Slots;
  readonly times: CreateTimes;
  isDraining(): boolean;
  isCordoned(): boolean;
  /** It was silent for so long that others have declared it lost; told once. */
  lost(silentMs: number): void;
}

export class Announcements {
  readonly #ports: AnnouncementsPorts;
  readonly #changed = new Set<Instance>();
  #gone: string[] = [];
  #toldAt: number;
  #isLost = false;
  #isClosed = false;
  #seq = 0;
  #timer: Timer | undefined = undefined;
  #beat: Timer | undefined = undefined;

  constructor(ports: AnnouncementsPorts) {
    this.#ports = ports;
    this.#toldAt = ports.clock.now();
  }

  /** Announces in full now and at every heartbeat from now on. */
  start(): void {
    this.full();
    this.#beat ??= this.#ports.clock.every(LIMITS.nodeHeartbeat.value, () => this.full());
  }

  /**
   * True once nothing was told for LIMITS.hostSilence: others have spoken for this host's calls since, and whatever it still
   * did would be stale. For good: it comes back under another epoch only.
   */
  isLost(): boolean {
    if (this.#isLost || this.#isClosed) return this.#isLost;
    if (this.#ports.clock.now() - this.#toldAt <= LIMITS.hostSilence.value) return false;
    this.declaredLost();
    return true;
  }

  /** Others have said so: it was cut off from them, while its own clock saw no gap. */
  declaredLost(): void {
    if (this.#isLost || this.#isClosed) return;
    this.#isLost = true;
    this.#ports.lost(this.#ports.clock.now() - this.#toldAt);
  }

  changed(instance: Instance): void {
    if (this.#changed.has(instance)) return;
    this.#changed.add(instance);
    this.#arm();
  }

  gone(instance: Instance): void {
    this.#changed.delete(instance);
    this.#gone.push(instance.id);
    this.#arm();
  }

  /** Tells what has changed, now; nothing when nothing has. */
  flush(): void {
    if (this.#changed.size === 0 && this.#gone.length === 0) return;
    this.#tell(false, [...this.#changed].map(hintOf), this.#functions(false));
  }

  /** As flush, but not again within a few milliseconds: for moments that come in storms. */
  hurry(): void {
    if (this.#ports.clock.now() - this.#toldAt >= HURRY_MS) this.flush();
  }

  full(): void {
    this.#tell(true, [...this.#ports.instances.all()].map(hintOf), this.#functions(true));
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#beat?.cancel();
    this.#timer = undefined;
    this.#beat = undefined;
  }

  #arm(): void {
    this.#timer ??= this.#ports.clock.after(LIMITS.announceEvery.value, () => this.flush());
  }

  #tell(full: boolean, instances: InstanceHint[], functions: HostAnnouncement["functions"]): void {
    const { host, epoch, memoryMb, cores, times, instances: fleet } = this.#ports;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.isLost()) return;
    this.#toldAt = this.#ports.clock.now();
    const gone = this.#gone;
    this.#gone = [];
    this.#changed.clear();
    this.#ports.control.tell(hostAnnouncement, [host], {
      host,
      epoch,
      seq: this.#seq++,
      full,
      draining: this.#ports.isDraining(),
      ...(this.#ports.isCordoned() && { cordoned: true }),
      memoryMb,
      usedMb: fleet.usedMb,
      cores,
      runtimes: { ...fleet.runtimes },
      network: this.#ports.network,
      instances,
      gone,
      functions,
      createMs: { ...times.ms },
      protocol: PROTOCOL,
    });
  }

  /** Those that changed since the last time; in full also those with a slot here. A long-forgotten function is not told again. */
  #functions(full: boolean): HostAnnouncement["functions"] {
    const told = new Map<string, { account: string; function: string; calls: number; runMs: number; queued: number }>();
    const wanted = new Set<FunctionStats>();
    if (full) for (const slot of this.#ports.slots.all()) wanted.add(slot.stats);
    const names = new Set<string>();
    for (const stats of this.#ports.functions.all()) {
      if (stats.changed || wanted.has(stats)) names.add(`${stats.account}.${stats.function}`);
      stats.changed = false;
    }
    if (names.size === 0) return [];
    for (const stats of this.#ports.functions.all()) {
      const name = `${stats.account}.${stats.function}`;
      if (!names.has(name)) continue;
      const row = told.get(name) ?? { account: stats.account, function: stats.function, calls: 0, runMs: 0, queued: 0 };
      row.calls += stats.calls;
      row.runMs += stats.calls * (stats.meanRunMs ?? 0);
      told.set(name, row);
    }
    for (const slot of this.#ports.slots.all()) {
      const row = told.get(`${slot.account}.${slot.function}`);
      if (row) row.queued += slot.queued + slot.ahead;
    }
    return [...told.values()].map(({ account, function: name, calls, runMs, queued }) => ({
      account,
      function: name,
      calls,
      meanRunMs: calls === 0 ? 0 : runMs / calls,
      queued,
    }));
  }
}

/** One instance as others see it. */
function hintOf(instance: Instance): InstanceHint {
  const slots = new Map<string, { key: string; idle: number; busy: number; loading: number }>();
  const count = (key: string, what: "idle" | "busy" | "loading"): void => {
    const slot = slots.get(key) ?? { key, idle: 0, busy: 0, loading: 0 };
    slot[what]++;
    slots.set(key, slot);
  };
  for (const { slot, state } of instance.containers) if (slot && state !== "spare" && state !== "ended") count(slot.key, state);
  for (const { slot } of instance.waiting) count(slot.key, "loading");
  const { state } = instance;
  return {
    id: instance.id,
    runtime: instance.runtime,
    memoryMb: instance.memoryMb,
    usedMb: instance.usedMb,
    state: state === "gone" ? "draining" : state,
    account: instance.account,
    network: instance.network,
    spares: instance.spares.length,
    booting: instance.booting,
    slots: [...slots.values()],
    code: [...instance.code],
  };
}
