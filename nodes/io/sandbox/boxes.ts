/**
 * Boxes: booting them in turn, and their ends as the spawner reports them.
 *
 * I1  Every box that was ordered is settled: by the spawner's report, or after the spawner was lost.
 */
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { Box } from "./body.ts";
import type { Boots } from "./boots.ts";
import type { Door } from "./door.ts";
import { type GroupHandle, type GroupName, type Groups, SHARES, ZYGOTE } from "./groups.ts";
import type { Instance } from "./instance.ts";
import type { Kind } from "./kind.ts";
import type { Report } from "./orders.ts";
import { type Ready, untilReady } from "./ready.ts";
import { signalName } from "./signals.ts";
import type { SteadySpawner } from "./steady-spawner.ts";
import { Watch } from "./watch.ts";

export interface BoxesParts {
  readonly kind: Kind;
  readonly groups: Groups | undefined;
  readonly boots: Boots;
  readonly door: Door;
  readonly spawner: SteadySpawner;
}

export class Boxes {
  readonly #parts: BoxesParts;
  readonly #watch = new Watch();
  readonly #boxes = new Map<string, Box>();
  #count = 0;

  constructor(parts: BoxesParts) {
    this.#parts = parts;
  }

  /** Boots one when it is its turn; `urgent`: somebody waits. Rejects with BootFailed; nothing of it is left then. */
  boot(instance: Instance, runtime: RuntimeName, group: GroupName, urgent: boolean): Promise<{ body: Box; ready: Ready }> {
    let isAwaited = urgent;
    const start = async () => {
      await this.#parts.spawner.ready;
      const command = await this.#parts.kind.command(instance.place, runtime, this.#parts.groups?.doors(group) ?? []);
      instance.mustStay();
      const box = this.#make(instance, group);
      const born = new Promise<void>((resolve) => {
        box.onBorn = resolve;
      });
      this.#parts.door.expect(box.id, (socket, rest) => box.attach(socket, rest));
      const ready = untilReady(box, born);
      const shares = isAwaited ? SHARES.waited : SHARES.background;
      this.#parts.spawner.link.send({ do: "box", id: box.id, ...command, group, instanceMb: instance.instanceMb, shares });
      const starved = setTimeout(() => this.favour(group), LIMITS.boot.value / 3);
      const said = await ready.finally(() => clearTimeout(starved));
      box.handle = this.handle(group, box.pid ?? 0);
      // A zygote works only when somebody waits for a fork.
      box.handle.weigh(group.container === ZYGOTE ? SHARES.waited : SHARES.background);
      return { body: box, ready: said };
    };
    // Its group may not be made yet, while names are looked up for its network.
    const hurry = () => {
      isAwaited = true;
      this.favour(group);
    };
    return this.#parts.boots.run(urgent, start, hurry);
  }

  #make(instance: Instance, group: GroupName): Box {
    const id = `b${++this.#count}`;
    const box = new Box(id, group, () => this.#parts.spawner.link.send({ do: "kill", id }));
    this.#boxes.set(id, box);
    instance.add(box);
    void box.gone.then(() => {
      this.#boxes.delete(id);
      this.#parts.door.forget(id);
    });
    return box;
  }

  /** Gives a boot that starves, or that somebody waits for by now, a share of the cpu. */
  favour(group: GroupName): void {
    try {
      const handle = this.#parts.groups?.open(group);
      handle?.weigh(SHARES.waited);
      handle?.close();
    } catch {
      // Its group was not even made yet, or is gone.
    }
  }

  /** What keeps the limits of a body: its group, or, without groups, whoever looks at its processes. */
  handle(group: GroupName, pid: number): GroupHandle {
    return this.#parts.groups?.open(group) ?? this.#watch.open(pid);
  }

  reported(report: Extract<Report, { is: "born" | "gone" }>): void {
    const box = this.#boxes.get(report.id);
    if (box === undefined) return;
    if (report.is === "born") {
      box.born(report.pid);
      return;
    }
    const { code, output, spawnError } = report;
    // A box tells the signal that ended its runtime as 128 + number.
    const signal = report.signal ?? (code !== null && code > 128 ? (signalName(code - 128) ?? null) : null);
    // Without control groups the watch counts: its handle is asked before it closes.
    const oomKills = this.#parts.groups === undefined ? (box.handle?.oomKills() ?? 0) : report.oomKills;
    box.settle({ code, signal, oomKills, output, ...(spawnError === undefined ? {} : { error: spawnError }) });
  }
}
