/** Forks: containers that are children of their instance's zygote, which is booted for the first of them. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { Fork, type Gone } from "./body.ts";
import type { Boxes } from "./boxes.ts";
import { type GroupName, type Groups, ZYGOTE } from "./groups.ts";
import type { Instance } from "./instance.ts";
import type { Kind } from "./kind.ts";
import type { Ready } from "./ready.ts";
import type { SteadySpawner } from "./steady-spawner.ts";
import { Zygote } from "./zygote.ts";

export interface ForksParts {
  readonly kind: Kind;
  readonly groups: Groups | undefined;
  readonly boxes: Boxes;
  readonly spawner: SteadySpawner;
}

export class Forks {
  readonly #parts: ForksParts;

  constructor(parts: ForksParts) {
    this.#parts = parts;
  }

  /** Makes a fork in a group of its own. Rejects with BootFailed; nothing of it is left then. */
  async boot(instance: Instance, runtime: RuntimeName, group: GroupName, urgent: boolean): Promise<{ body: Fork; ready: Ready }> {
    const zygote = await this.#zygoteOf(instance, runtime, urgent);
    const fork = new Fork(group.container, group, (one) => this.#clear(one, zygote.box.id));
    instance.add(fork);
    try {
      const ready = await zygote.fork(fork);
      const { pid } = await this.#parts.spawner.link.ask({
        do: "adopt",
        zygote: zygote.box.id,
        innerPid: ready.pid,
        group,
        instanceMb: instance.instanceMb,
      });
      fork.pid = pid;
      fork.handle = this.#parts.boxes.handle(group, pid ?? 0);
      return { body: fork, ready };
    } catch (error) {
      fork.kill();
      await fork.gone;
      throw Fault.from(error);
    }
  }

  async #zygoteOf(instance: Instance, runtime: RuntimeName, urgent: boolean): Promise<Zygote> {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      instance.zygote ??= this.#bootZygote(instance, runtime, urgent);
      // Somebody may be waiting for a boot that began for nobody in particular.
      if (urgent && instance.zygoteBoots) this.#parts.boxes.favour({ instance: instance.place.instance, container: ZYGOTE });
      const zygote = await instance.zygote;
      if (!zygote.over) return zygote;
      // The next one has the same group: it begins when nothing of this one is left.
      await zygote.box.gone;
    }
    throw new Fault("BootFailed", `The zygote of instance ${instance.place.instance} ended again and again.`);
  }

  #bootZygote(instance: Instance, runtime: RuntimeName, urgent: boolean): Promise<Zygote> {
    const boot = async (): Promise<Zygote> => {
      const { body: box } = await this.#parts.boxes.boot(
        instance,
        runtime,
        { instance: instance.place.instance, container: ZYGOTE },
        urgent,
      );
      const zygote = new Zygote(box, this.#parts.kind.dialPath(instance.place));
      void box.gone.then(() => {
        zygote.close();
        if (instance.zygote === booting) instance.zygote = undefined;
      });
      const path = join(instance.place.directory, "dial", "s");
      await rm(path, { force: true });
      await zygote.open(path);
      return zygote;
    };
    instance.zygoteBoots = true;
    const booting = boot().finally(() => {
      instance.zygoteBoots = false;
    });
    booting.catch(() => {
      if (instance.zygote === booting) instance.zygote = undefined;
    });
    return booting;
  }

  async #clear(fork: Fork, box: string): Promise<Partial<Gone>> {
    const pid = fork.pid === undefined ? {} : { pid: fork.pid };
    const answer = await this.#parts.spawner.link.ask({ do: "clear", group: fork.group, box, ...pid });
    return {
      oomKills: (answer.oomKills ?? 0) + (this.#parts.groups === undefined ? (fork.handle?.oomKills() ?? 0) : 0),
      output: answer.output ?? "",
    };
  }
}
