/**
 * The way out of one box, as its spawner sees it: starts the helper that carries its packets, tells the box when the
 * network is there, and ends the helper with the box.
 *
 * I1  The box runs no code before the helper has said that the network is there.
 * I2  The helper ends with its spawner: it watches the connection on fd 4.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { Tail } from "./tail.ts";

/** The helper's command, less the box's pid and the device. */
export interface UplinkOrder {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

const DEVICE = "tap0";

export class Uplink {
  readonly #child: ChildProcess;
  readonly #tail = new Tail();
  /** Resolves when no process of it is left. */
  readonly gone: Promise<void>;
  #ended = false;

  /** `talk`: the connection to the box, over which it says that its namespace is there. `lost` is called when it ends before `end`. */
  constructor(order: UplinkOrder, box: number, talk: Duplex, lost: (why: string) => void) {
    const [command = "", ...rest] = order.argv;
    const child = spawn(command, [...rest, `${box}`, DEVICE], {
      cwd: "/",
      env: order.environment,
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    });
    this.#child = child;
    if (child.stderr !== null) this.#tail.follow(child.stderr);
    const [, , , ready, begin] = child.stdio as unknown as Duplex[];
    for (const stream of [talk, ready, begin]) stream?.on("error", () => {});
    talk.once("data", () => begin?.write("go\n"));
    ready?.once("data", () => talk.end("go\n"));
    this.gone = new Promise((resolve) => {
      const over = (why: string): void => {
        this.#tail.close();
        resolve();
        if (!this.#ended) lost(`its network ended (${why}): ${this.#tail.text().trim()}`);
      };
      child.once("error", (error) => over(error.message));
      child.once("exit", (code, signal) => over(`${signal ?? code}`));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Kills the helper; `gone` follows. Safe at any moment. */
  end(): void {
    this.#ended = true;
    this.#child.kill("SIGKILL");
  }
}
