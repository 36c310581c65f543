/**
 * The sandbox of one host, whatever its kind: instances, their boots, the spawner and its loss.
 *
 * I1  Every body (box or fork) that was ordered is settled: by the spawner's report, or after the spawner was lost.
 * I2  An instance's directory and group go only when all its bodies are gone.
 */

import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { chmod, copyFile, link, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Isolation, RuntimeName, Sandbox, SandboxedContainer, StartOrder } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { RUNTIMES } from "../../../runtimes/index.ts";
import { type Body, Box, Fork, type Gone } from "./body.ts";
import type { Boots } from "./boots.ts";
import { Container } from "./container.ts";
import { Door } from "./door.ts";
import { type GroupHandle, type GroupName, type Groups, SHARES, ZYGOTE } from "./groups.ts";
import { Instance } from "./instance.ts";
import type { Kind, Place } from "./kind.ts";
import type { Report, SpawnerSetup } from "./orders.ts";
import { writeOwner } from "./owner.ts";
import { type Ready, untilReady } from "./ready.ts";
import { SpawnerLink } from "./spawner-link.ts";
import { removeRunDirectory } from "./sweep.ts";
import { Watch } from "./watch.ts";
import { Zygote } from "./zygote.ts";

export type Log = (level: "debug" | "info" | "warn" | "error", message: string, fields?: Record<string, unknown>) => void;

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
const FILE = /^[A-Za-z0-9-][A-Za-z0-9._-]{0,127}$/;

export class HostSandbox implements Sandbox {
  readonly isolation: Isolation;
  readonly #parts: HostParts;
  readonly #door = new Door();
  readonly #watch = new Watch();
  readonly #link: SpawnerLink;
  readonly #instances = new Map<string, Instance>();
  readonly #boxes = new Map<string, Box>();
  readonly #slots = new Set<number>();
  #nextSlot = -1;
  readonly #lostListeners: (() => void)[] = [];
  /** Resolves when the spawner works (again); starts wait for it. */
  #spawner: Promise<void> = Promise.resolve();
  #boxCount = 0;
  #closed = false;

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.isolation = parts.isolation;
    this.#link = new SpawnerLink(parts.setup, { report: (report) => this.#reported(report), lost: () => this.#lost() });
  }

  /** Opens the door and starts the spawner. Throws BootFailed. */
  async open(): Promise<void> {
    await this.#door.open(this.#parts.setup.socket);
    await this.#startSpawner();
  }

  async start(order: StartOrder, urgent: boolean): Promise<SandboxedContainer> {
    if (!INSTANCE.test(order.instance) || !CONTAINER.test(order.container))
      throw new Fault("BootFailed", `Bad name of an instance or container: ${order.instance}/${order.container}.`);
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
    await this.#link.close();
    await removeRunDirectory(this.#parts.setup.runDirectory);
  }

  // ---- boots

  async #boot(instance: Instance, order: StartOrder, urgent: boolean, ordered: number): Promise<Container> {
    const fork = RUNTIMES[order.runtime].containers === "fork";
    const group: GroupName = { instance: order.instance, container: order.container };
    const { body, ready } = fork
      ? await this.#bootFork(instance, order.runtime, group, urgent)
      : await this.#bootBox(instance, order.runtime, group, urgent);
    const container = new Container({
      id: order.container,
      instance: order.instance,
      bootMs: performance.now() - ordered,
      runtimeVersion: ready.runtime,
      body,
      tellsExit: !fork,
      deliver: (hostPath, name) => this.#deliver(instance.place, hostPath, name),
      complain: (message, error) =>
        this.#parts.log("warn", message, { instance: order.instance, container: order.container, error: String(error) }),
    });
    if (instance.removal !== undefined) {
      await container.stop();
      throw new Fault("BootFailed", `Instance ${order.instance} is being removed.`);
    }
    return container;
  }

  async #bootBox(instance: Instance, runtime: RuntimeName, group: GroupName, urgent: boolean): Promise<{ body: Box; ready: Ready }> {
    return this.#parts.boots.run(urgent, async () => {
      await this.#spawner;
      if (instance.removal !== undefined) throw new Fault("BootFailed", `Instance ${group.instance} is being removed.`);
      const id = `b${++this.#boxCount}`;
      const box = new Box(id, group, () => this.#link.send({ do: "kill", id }));
      const born = new Promise<void>((resolve) => {
        box.onBorn = resolve;
      });
      const command = this.#parts.kind.command(instance.place, runtime, this.#parts.groups?.doors(group) ?? []);
      this.#boxes.set(id, box);
      this.#add(instance, box);
      void box.gone.then(() => {
        this.#boxes.delete(id);
        this.#door.forget(id);
      });
      this.#door.expect(id, (socket, rest) => box.attach(socket, rest));
      const ready = untilReady(box, born);
      const shares = urgent ? SHARES.waited : SHARES.background;
      this.#link.send({ do: "box", id, ...command, group, instanceMb: instance.instanceMb, shares });
      const starved = setTimeout(() => this.#favour(group), LIMITS.boot.value / 3);
      const said = await ready.finally(() => clearTimeout(starved));
      box.handle = this.#handle(group, box.pid ?? 0);
      // A zygote works only when somebody waits for a fork.
      box.handle.weigh(group.container === ZYGOTE ? SHARES.waited : SHARES.background);
      return { body: box, ready: said };
    });
  }

  async #bootFork(instance: Instance, runtime: RuntimeName, group: GroupName, urgent: boolean): Promise<{ body: Fork; ready: Ready }> {
    instance.zygote ??= this.#bootZygote(instance, runtime, urgent);
    // Somebody may be waiting for a boot that began for nobody in particular.
    if (urgent && instance.zygoteBoots) this.#favour({ instance: group.instance, container: ZYGOTE });
    const zygote = await instance.zygote;
    const fork = new Fork(group.container, group, (one) => this.#clear(one, zygote.box.id));
    this.#add(instance, fork);
    try {
      const ready = await zygote.fork(fork);
      const { pid } = await this.#link.ask({
        do: "adopt",
        zygote: zygote.box.id,
        innerPid: ready.pid,
        group,
        instanceMb: instance.instanceMb,
      });
      fork.pid = pid;
      fork.handle = this.#handle(group, pid ?? 0);
      return { body: fork, ready };
    } catch (error) {
      fork.kill();
      await fork.gone;
      throw Fault.from(error);
    }
  }

  #bootZygote(instance: Instance, runtime: RuntimeName, urgent: boolean): Promise<Zygote> {
    const boot = async (): Promise<Zygote> => {
      const { body: box } = await this.#bootBox(instance, runtime, { instance: instance.place.instance, container: ZYGOTE }, urgent);
      const zygote = new Zygote(box, this.#parts.kind.dialPath(instance.place));
      box.onClosed = () => box.kill();
      if (box.closed !== undefined) box.kill();
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

  /** A body that was killed and does not go means a spawner that hangs: it is replaced. */
  #add(instance: Instance, body: Body): void {
    instance.add(body);
    body.onKill = () => {
      const timer = setTimeout(() => {
        this.#parts.log("error", "the spawner does not answer and is replaced", { container: body.group.container });
        this.#link.kill();
      }, LIMITS.clear.value + LIMITS.control.value);
      timer.unref();
      void body.gone.then(() => clearTimeout(timer));
    };
  }

  #favour(group: GroupName): void {
    try {
      const handle = this.#parts.groups?.open(group);
      handle?.weigh(SHARES.waited);
      handle?.close();
    } catch {
      // it was not even made yet
    }
  }

  #handle(group: GroupName, pid: number): GroupHandle {
    return this.#parts.groups?.open(group) ?? this.#watch.open(pid);
  }

  async #clear(fork: Fork, box: string): Promise<Partial<Gone>> {
    const answer = await this.#link.ask({ do: "clear", group: fork.group, box, ...(fork.pid === undefined ? {} : { pid: fork.pid }) });
    return {
      oomKills: (answer.oomKills ?? 0) + (this.#parts.groups === undefined ? (fork.handle?.oomKills() ?? 0) : 0),
      output: answer.output ?? "",
    };
  }

  // ---- instances

  #instance(order: StartOrder): Instance {
    const known = this.#instances.get(order.instance);
    if (known === undefined && this.#slots.size >= LIMITS.instanceSlots.value)
      throw new Fault("BootFailed", "This host has no room for another instance.");
    if (known !== undefined) {
      if (known.removal !== undefined) throw new Fault("BootFailed", `Instance ${order.instance} is being removed.`);
      if (known.place.network !== order.network) throw new Fault("BootFailed", `Instance ${order.instance} has a fixed network setting.`);
      return known;
    }
    // The slot (and uid) that was free for longest, so that nothing of an old instance ever meets a new one.
    do this.#nextSlot = (this.#nextSlot + 1) % LIMITS.instanceSlots.value;
    while (this.#slots.has(this.#nextSlot));
    const slot = this.#nextSlot;
    const { firstUid, kind, setup } = this.#parts;
    const uid = firstUid === undefined ? undefined : firstUid + slot;
    const place: Place = { instance: order.instance, directory: join(setup.runDirectory, "i", `${slot}`), uid, network: order.network };
    mkdirSync(place.directory, { recursive: true, mode: 0o700 });
    if (uid !== undefined) {
      chownSync(place.directory, 0, uid);
      chmodSync(place.directory, 0o750);
    }
    kind.prepare(place);
    this.#slots.add(slot);
    const instance = new Instance(place, slot, order.instanceMb);
    this.#instances.set(order.instance, instance);
    return instance;
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
        await this.#spawner;
        await this.#link.ask({ do: "clearInstance", instance: name, directory: instance.place.directory });
        break;
      } catch (error) {
        this.#parts.log("warn", "an instance was not removed cleanly", { instance: name, error: String(error) });
      }
    }
    this.#slots.delete(instance.slot);
    this.#instances.delete(name);
  }

  /** Written beside and renamed in, so that a container never sees half a file. */
  async #deliver(place: Place, hostPath: string, name: string): Promise<string> {
    if (!FILE.test(name)) throw new Fault("Internal", `Bad file name ${name}.`);
    const target = join(place.directory, "code", name);
    const beside = join(place.directory, `${randomBytes(6).toString("hex")}.new`);
    try {
      // A link shares the file's mode: one that others cannot read has to be copied.
      if (((await stat(hostPath)).mode & 0o004) === 0) await this.#copy(hostPath, beside);
      else await link(hostPath, beside).catch(() => this.#copy(hostPath, beside));
      await rename(beside, target);
      // Renaming one link of a file over another does nothing and leaves both.
      await rm(beside, { force: true });
    } catch (error) {
      await rm(beside, { force: true });
      throw new Fault("CodeUnavailable", `The code could not be put into instance ${place.instance}.`, undefined, error);
    }
    return this.#parts.kind.codePath(place, name);
  }

  async #copy(from: string, to: string): Promise<void> {
    await copyFile(from, to);
    await chmod(to, 0o644);
  }

  // ---- the spawner

  async #startSpawner(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#link.start();
        break;
      } catch (error) {
        if (attempt >= LIMITS.spawnerStarts.value) throw error;
        this.#parts.log("warn", "the spawner did not start", { attempt, error: String(error) });
      }
    }
    writeOwner(this.#parts.setup.runDirectory, this.#link.pid);
  }

  #reported(report: Extract<Report, { is: "born" | "gone" }>): void {
    const box = this.#boxes.get(report.id);
    if (box === undefined) return;
    if (report.is === "born") box.born(report.pid);
    else {
      const { code, signal, output, spawnError } = report;
      // Without control groups the watch counts: its handle is asked before it closes.
      const oomKills = this.#parts.groups === undefined ? (box.handle?.oomKills() ?? 0) : report.oomKills;
      box.settle({ code, signal, oomKills, output, ...(spawnError === undefined ? {} : { error: spawnError }) });
    }
  }

  #lost(): void {
    this.#parts.log("error", "the spawner was lost; every container ended with it");
    const bodies = [...this.#instances.values()].flatMap((instance) => [...instance.bodies]);
    for (const body of bodies) body.lose();
    this.#spawner = this.#replaceSpawner(bodies);
    this.#spawner.catch((error) => this.#parts.log("error", "no spawner can be started", { error: String(error) }));
  }

  async #replaceSpawner(bodies: readonly Body[]): Promise<void> {
    try {
      await this.#startSpawner();
      await Promise.all(
        bodies.map(async (body) => {
          const pid = body instanceof Box || body instanceof Fork ? body.pid : undefined;
          await this.#link.ask({ do: "clear", group: body.group, box: body.id, ...(pid === undefined ? {} : { pid }) }).catch((error) => {
            this.#parts.log("warn", "something of a lost container may be left", { container: body.group.container, error: String(error) });
          });
        }),
      );
    } finally {
      for (const body of bodies) body.settle({});
    }
    // The ends are told in the same turn or the next; listeners come after them.
    setImmediate(() => {
      for (const listener of this.#lostListeners) listener();
    });
  }
}
