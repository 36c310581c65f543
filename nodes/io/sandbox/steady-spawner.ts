/**
 * The spawner as the rest of the sandbox knows it: always there, or about to be. One that dies is replaced; one that
 * hangs is killed first.
 *
 * I1  What a lost spawner's bodies left is cleared by its successor before they are settled, and nothing starts before that.
 */
import { LIMITS } from "../../../protocol/limits.ts";
import { type Body, Box, Fork } from "./body.ts";
import type { Log } from "./log.ts";
import type { Report, SpawnerSetup } from "./orders.ts";
import { writeOwner } from "./owner.ts";
import { SpawnerLink } from "./spawner-link.ts";

export interface SteadySpawnerEvents {
  report(report: Extract<Report, { is: "born" | "gone" }>): void;
  /** Every body that was its child or grandchild. */
  bodies(): readonly Body[];
  /** It was replaced; all of those bodies are settled. */
  replaced(): void;
}

export class SteadySpawner {
  readonly link: SpawnerLink;
  readonly #setup: SpawnerSetup;
  readonly #events: SteadySpawnerEvents;
  readonly #log: Log;
  #ready: Promise<void> = Promise.resolve();

  constructor(setup: SpawnerSetup, log: Log, events: SteadySpawnerEvents) {
    this.#setup = setup;
    this.#log = log;
    this.#events = events;
    this.link = new SpawnerLink(setup, {
      report: (report) => events.report(report),
      hung: () => log("error", "the spawner does not answer and is killed"),
      lost: () => this.#lost(),
    });
  }

  /** Resolves when it works (again). Rejects with BootFailed when none can be started. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Throws BootFailed after LIMITS.spawnerStarts attempts. */
  async open(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.link.start();
        break;
      } catch (error) {
        if (attempt >= LIMITS.spawnerStarts.value) throw error;
        this.#log("warn", "the spawner did not start", { attempt, error: String(error) });
      }
    }
    writeOwner(this.#setup.runDirectory, this.link.pid);
  }

  #lost(): void {
    this.#log("error", "the spawner was lost; every container ended with it");
    const bodies = this.#events.bodies();
    for (const body of bodies) body.lose();
    this.#ready = this.#replace(bodies);
    this.#ready.catch((error) => this.#log("error", "no spawner can be started", { error: String(error) }));
  }

  async #replace(bodies: readonly Body[]): Promise<void> {
    try {
      await this.open();
      await Promise.all(bodies.map((body) => this.#clear(body)));
    } finally {
      for (const body of bodies) body.settle({});
    }
    // The ends are told in the same turn or the next; listeners come after them.
    setImmediate(() => this.#events.replaced());
  }

  async #clear(body: Body): Promise<void> {
    const pid = body instanceof Box || body instanceof Fork ? body.pid : undefined;
    try {
      await this.link.ask({ do: "clear", group: body.group, box: body.id, ...(pid === undefined ? {} : { pid }) });
    } catch (error) {
      this.#log("warn", "something of a lost container may be left", { container: body.group.container, error: String(error) });
    }
  }
}
