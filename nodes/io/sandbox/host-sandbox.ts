/**
 * The sandbox of one host, whatever its kind: instances, and the containers in them.
 *
 * I1  An instance's directory and group go only when all its bodies are gone.
 */
import type { Isolation, Sandbox, SandboxedContainer, StartOrder } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { RUNTIMES } from "../../../runtimes/index.ts";
import { isFull } from "../full-disk.ts";
import type { Body } from "./body.ts";
import type { Boots } from "./boots.ts";
import { Boxes } from "./boxes.ts";
import { Container } from "./container.ts";
import { deliver } from "./delivery.ts";
import { Door } from "./door.ts";
import { Forks } from "./forks.ts";
import type { GroupName, Groups } from "./groups.ts";
import type { Instance } from "./instance.ts";
import type { Kind } from "./kind.ts";
import type { Log } from "./log.ts";
import type { SpawnerSetup } from "./orders.ts";
import { Slots } from "./slots.ts";
import { SteadySpawner } from "./steady-spawner.ts";
import { removeRunDirectory } from "./sweep.ts";

export interface HostParts {
  readonly isolation: Isolation;
  readonly kind: Kind;
  readonly setup: SpawnerSetup;
  readonly groups: Groups | undefined;
  readonly boots: Boots;
  /** First of the host uids that instances get, or undefined where they run as the agent's own user. */
  readonly firstUid: number | undefined;
  readonly log: Log;
}

const INSTANCE = /^[a-z0-9-]{1,40}$/;
const CONTAINER = /^[A-Za-z0-9-]{1,64}$/;

export class HostSandbox implements Sandbox {
  /** What was meant until `probe` has looked, what was seen from then on. */
  isolation: Isolation;
  readonly #parts: HostParts;
  readonly #door = new Door();
  readonly #spawner: SteadySpawner;
  readonly #boxes: Boxes;
  readonly #forks: Forks;
  readonly #slots: Slots;
  readonly #instances = new Map<string, Instance>();
  readonly #lostListeners: (() => void)[] = [];
  #closed = false;

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.isolation = parts.isolation;
    const { kind, groups, boots, setup, log } = parts;
    this.#spawner = new SteadySpawner(setup, log, {
      report: (report) => this.#boxes.reported(report),
      bodies: () => [...this.#instances.values()].flatMap((instance) => [...instance.bodies]),
      replaced: () => {
        for (const listener of this.#lostListeners) listener();
      },
    });
    this.#boxes = new Boxes({ kind, groups, boots, door: this.#door, spawner: this.#spawner });
    this.#forks = new Forks({ kind, groups, boxes: this.#boxes, spawner: this.#spawner });
    this.#slots = new Slots(setup.runDirectory, parts.firstUid, kind);
  }

  /** Opens the door and starts the spawner. Throws BootFailed. */
  async open(): Promise<void> {
    await this.#door.open(this.#parts.setup.socket);
    await this.#spawner.open();
  }

  async start(order: StartOrder, urgent: boolean): Promise<SandboxedContainer> {
    return (await this.startBody(order, urgent)).container;
  }

  /** The same, with the processes behind the container. Where the disk is full its error is the cause (isFull): callers hear no path of the host. */
  async startBody(order: StartOrder, urgent: boolean): Promise<{ container: Container; body: Body }> {
    try {
      return await this.#start(order, urgent);
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#parts.log("warn", "the disk is full: a container was not made", { instance: order.instance, error: String(error) });
      throw new Fault("BootFailed", "the disk of the host is full, and a new container has no room on it", undefined, error);
    }
  }

  async #start(order: StartOrder, urgent: boolean): Promise<{ container: Container; body: Body }> {
    if (!INSTANCE.test(order.instance) || !CONTAINER.test(order.container))
      throw new Fault("BootFailed", `Bad name of an instance or container: ${order.instance}/${order.container}.`);
    if (order.network && this.isolation.network === "none")
      throw new Fault("ConfigurationUnavailable", "This host cannot give a function a network: see its gaps in pilot doctor.");
    if (this.#closed) throw new Fault("BootFailed", "The sandbox is closed.");
    const ordered = performance.now();
    const instance = this.#instance(order);
    const work = this.#boot(instance, order, urgent, ordered);
    instance.starting.add(work);
    try {
      return await work;
    } finally {
      instance.starting.delete(work);
    }
  }

  async remove(name: string): Promise<void> {
    const instance = this.#instances.get(name);
    if (instance === undefined) return;
    instance.removal ??= this.#remove(instance);
    await instance.removal;
  }

  onSpawnerLost(listener: () => void): void {
    this.#lostListeners.push(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#instances.keys()].map((name) => this.remove(name)));
    this.#door.close();
    // The spawner sweeps groups and directory as its last act.
    await this.#spawner.link.close();
    await removeRunDirectory(this.#parts.setup.runDirectory);
  }

  #instance(order: StartOrder): Instance {
    const known = this.#instances.get(order.instance);
    if (known !== undefined) {
      known.mustStay();
      if (known.place.network !== order.network) throw new Fault("BootFailed", `Instance ${order.instance} has a fixed network setting.`);
      return known;
    }
    const instance = this.#slots.take(order);
    this.#instances.set(order.instance, instance);
    return instance;
  }

  async #boot(instance: Instance, order: StartOrder, urgent: boolean, ordered: number): Promise<{ container: Container; body: Body }> {
    const group: GroupName = { instance: order.instance, container: order.container };
    const maker = RUNTIMES[order.runtime].containers === "fork" ? this.#forks : this.#boxes;
    const { body, ready } = await maker.boot(instance, order.runtime, group, urgent);
    const container = new Container({
      id: order.container,
      instance: order.instance,
      bootMs: performance.now() - ordered,
      runtimeVersion: ready.runtime,
      body,
      deliver: async (hostPath, name) => {
        await deliver(instance.place.directory, hostPath, name);
        return this.#parts.kind.codePath(instance.place, name);
      },
      complain: (message, error) =>
        this.#parts.log("warn", message, { instance: order.instance, container: order.container, error: String(error) }),
    });
    if (instance.removal !== undefined) {
      await container.stop();
      instance.mustStay();
    }
    return { container, body };
  }

  async #remove(instance: Instance): Promise<void> {
    const name = instance.place.instance;
    // A body that is just being ordered appears after the first round: once more when all starts are over.
    for (let round = 0; round < 2; round += 1) {
      const bodies = [...instance.bodies];
      for (const body of bodies) body.remove();
      await Promise.all(bodies.map((body) => body.gone));
      await Promise.allSettled([...instance.starting]);
    }
    for (let attempt = 0; attempt < 2; attempt += 1) {
      try {
        await this.#spawner.ready;
        await this.#spawner.link.ask({ do: "clearInstance", instance: name, directory: instance.place.directory });
        break;
      } catch (error) {
        this.#parts.log("warn", "an instance was not removed cleanly", { instance: name, error: String(error) });
      }
    }
    this.#slots.free(instance.slot);
    this.#instances.delete(name);
  }
}
