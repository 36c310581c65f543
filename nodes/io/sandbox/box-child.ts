/**
 * One box as its spawner sees it: dials the agent, starts the command with that connection as fd 3, keeps the tail of
 * its output, and reports its end once nothing of it is left.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { LIMITS } from "../../../protocol/limits.ts";
import { clearGroup } from "./clear.ts";
import { killAll } from "./group-files.ts";
import type { Groups } from "./groups.ts";
import type { Order, Report } from "./orders.ts";
import { Tail } from "./tail.ts";
import { Uplink } from "./uplink.ts";

type BoxOrder = Extract<Order, { do: "box" }>;

export class BoxChild {
  readonly #order: BoxOrder;
  readonly #groups: Groups | undefined;
  readonly #report: (report: Report) => void;
  readonly #tail = new Tail();
  #child: ChildProcess | undefined;
  #uplink: Uplink | undefined;
  #pid: number | undefined;
  #ended = false;
  #killed = false;
  /** Why its network is no more, when that came first. */
  #lost: string | undefined;

  constructor(order: BoxOrder, groups: Groups | undefined, report: (report: Report) => void) {
    this.#order = order;
    this.#groups = groups;
    this.#report = report;
  }

  get id(): string {
    return this.#order.id;
  }

  get group(): BoxOrder["group"] {
    return this.#order.group;
  }

  /** Host pid of the box's first process once it is known. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** Host pid of the process that carries its packets; it is in the box's group and not in the box. */
  get carrier(): number | undefined {
    return this.#uplink?.pid;
  }

  output(): string {
    return this.#tail.text();
  }

  start(socketPath: string): void {
    try {
      this.#groups?.create(this.#order.group, this.#order.instanceMb, this.#order.shares);
    } catch (error) {
      void this.#end(null, null, `its control group could not be made: ${(error as Error).message}`);
      return;
    }
    const socket = connect(socketPath);
    socket.once("error", (error) => void this.#end(null, null, `the agent did not answer: ${error.message}`));
    socket.once("connect", () => {
      const name = Buffer.from(this.#order.id, "latin1");
      // Written before the child exists, so that its first frame comes after the announcement.
      socket.write(Buffer.concat([Buffer.of(name.length), name]), () => this.#spawn(socket));
    });
  }

  #spawn(socket: Socket): void {
    if (this.#ended) {
      socket.destroy();
      return;
    }
    const files: number[] = [];
    try {
      for (const path of this.#order.files) files.push(openSync(path, "r"));
      const [command = "", ...rest] = this.#order.argv;
      const child = spawn(command, rest, {
        cwd: this.#order.directory,
        env: this.#order.environment,
        detached: true,
        stdio: [
          "ignore",
          "pipe",
          "pipe",
          socket,
          this.#order.tellsPid ? "pipe" : "ignore",
          ...files,
          ...(this.#order.uplink ? ["pipe" as const] : []),
        ],
      });
      this.#child = child;
      this.#follow(child);
      this.#join(child, child.stdio[5 + files.length] as unknown as Duplex);
    } catch (error) {
      void this.#end(null, null, (error as Error).message);
    } finally {
      for (const fd of files) closeSync(fd);
      // destroy, never end: a shutdown would be shared with the child's copy of the connection.
      socket.destroy();
    }
  }

  #join(child: ChildProcess, talk: Duplex): void {
    if (this.#order.uplink === undefined || child.pid === undefined) return;
    this.#uplink = new Uplink(this.#order.uplink, child.pid, talk, (why) => {
      this.#lost = why;
      this.kill();
    });
  }

  #follow(child: ChildProcess): void {
    if (child.stdout !== null) this.#tail.follow(child.stdout);
    if (child.stderr !== null) this.#tail.follow(child.stderr);
    child.once("error", (error) => void this.#end(null, null, error.message));
    child.once("exit", (code, signal) => void this.#end(code, signal));
    if (this.#order.tellsPid) this.#readPid(child.stdio[4] as Readable);
    else if (child.pid !== undefined) this.#born(child.pid);
    if (this.#killed) this.kill();
  }

  #readPid(stream: Readable): void {
    let text = "";
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      if (text.length > 1024) return;
      text += chunk.toString("latin1");
      const pid = /"child-pid":\s*(\d+)/.exec(text)?.[1];
      if (pid !== undefined && this.#pid === undefined) this.#born(Number(pid));
    });
  }

  #born(pid: number): void {
    this.#pid = pid;
    this.#report({ is: "born", id: this.id, pid });
    if (this.#killed) this.kill();
  }

  /** Kills the box; safe at any moment of its life. */
  kill(): void {
    this.#killed = true;
    if (this.#ended) return;
    // Killing the first process of its pid namespace kills them all; until it is known, the command itself.
    if (this.#order.tellsPid && this.#pid !== undefined) killAll([this.#pid]);
    else if (this.#child !== undefined) {
      this.#child.kill("SIGKILL");
      if (!this.#order.tellsPid && this.#child.pid !== undefined) killAll([-this.#child.pid]);
    }
    this.#uplink?.end();
    this.#groups?.kill(this.group);
  }

  async #end(code: number | null, signal: string | null, spawnError?: string): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const child = this.#child;
    if (!this.#order.tellsPid && child?.pid !== undefined) killAll([-child.pid]);
    this.#uplink?.end();
    await this.#uplink?.gone;
    // Its last words may still be in the pipes; a descendant that holds them open is not waited for.
    if (child !== undefined) await closed(child);
    const oomKills = this.#groups?.oomKills(this.group) ?? 0;
    const left = await clearGroup(this.#groups, this.group);
    this.#tail.close();
    child?.stdout?.destroy();
    child?.stderr?.destroy();
    const error = spawnError ?? this.#lost ?? left;
    this.#report({
      is: "gone",
      id: this.id,
      code,
      signal,
      oomKills,
      output: this.#tail.text(),
      ...(error === undefined ? {} : { spawnError: error }),
    });
  }
}

function closed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, LIMITS.lastOutput.value);
    child.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
