/** A sandbox with hostile bootstraps, and containers that run the code a test gives them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { EndCause, RuntimeName, Sandbox, SandboxedContainer } from "../../../actors/instance/sandbox.ts";
import { openSandbox, type SandboxOptions } from "../../../nodes/io/sandbox/index.ts";
import { FRAME } from "../../../protocol/frames.ts";

/** The kinds, and bubblewrap on a machine that lets us make no control groups. */
export type KindName = "bubblewrap" | "bubblewrap without groups" | "process";

export function projectRoot(): string {
  for (let at = process.env["PILOT_ROOT"] ?? dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, "runtimes", "index.ts"))) return at;
    if (at === dirname(at)) throw new Error("no project root above the test");
  }
}

const fixture = (name: string): string => join(projectRoot(), "test", "nodes", "sandbox", "fixtures", name);

export const HOSTILE = { node: fixture("hostile.cjs"), python: fixture("hostile.py") } as const;

export async function runDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "pilot box-"));
}

export async function openHostile(kind: KindName, options: Partial<SandboxOptions> = {}): Promise<{ sandbox: Sandbox; directory: string }> {
  const directory = options.runDirectory ?? (await runDirectory());
  const sandbox = await openSandbox({
    kind: kind === "process" ? kind : "bubblewrap",
    withoutGroups: kind !== "bubblewrap",
    runDirectory: directory,
    log: () => {},
    network: { brokers: () => [] },
    bootstraps: HOSTILE,
    ...options,
  });
  return { sandbox, directory };
}

export interface Ended {
  readonly cause: EndCause;
  readonly output: string;
}

let count = 0;

/** One container and the conversation with it. */
export class Victim {
  readonly container: SandboxedContainer;
  readonly ended: Promise<Ended>;
  ends = 0;
  frames = 0;
  readonly #answers = new Map<number, (value: unknown) => void>();
  #calls = 0;

  private constructor(container: SandboxedContainer) {
    this.container = container;
    this.ended = new Promise((resolve) => {
      container.listen({
        frame: (frame) => {
          this.frames += 1;
          if (frame.type === FRAME.result)
            this.#answers.get(frame.id)?.(frame.flags === 1 ? JSON.parse(Buffer.from(frame.payload).toString()) : frame.payload.slice());
        },
        ended: (cause, output) => {
          this.ends += 1;
          resolve({ cause, output });
        },
      });
    });
  }

  static async start(
    sandbox: Sandbox,
    runtime: RuntimeName,
    order: { instance?: string; network?: boolean; memoryMb?: number } = {},
  ): Promise<Victim> {
    count += 1;
    const container = await sandbox.start(
      { instance: order.instance ?? `i-${count}`, container: `c-${count}`, runtime, instanceMb: 1024, network: order.network ?? false },
      true,
    );
    container.limit({ memoryMb: order.memoryMb ?? 256, cpuShares: 512, processes: 64 });
    return new Victim(container);
  }

  /** Runs code inside; resolves with the first thing it says, rejects when the container ends instead. */
  async run(code: string): Promise<unknown> {
    const id = ++this.#calls;
    const answer = new Promise<unknown>((resolve) => this.#answers.set(id, resolve));
    this.start(code, id);
    return Promise.race([
      answer,
      this.ended.then(({ cause, output }) => {
        throw new Error(`ended instead of answering: ${JSON.stringify(cause)} ${output}`);
      }),
    ]);
  }

  /** Runs code inside without waiting for it. */
  start(code: string, id = ++this.#calls): void {
    this.container.send(FRAME.load, 0, id, new Uint8Array(0), Buffer.from(code));
  }

  async echo(payload: Uint8Array): Promise<unknown> {
    const id = ++this.#calls;
    const answer = new Promise<unknown>((resolve) => this.#answers.set(id, resolve));
    this.container.send(FRAME.call, 0, id, new Uint8Array(0), payload);
    return answer;
  }
}

/** Control groups of a sandbox that still exist, by the default name made from its directory. */
export function groupsLeft(root: string): string[] {
  return ["memory", "cpu", "cpuacct", "pids", "freezer", "."].flatMap((controller) => {
    const mount = join("/sys/fs/cgroup", controller);
    return existsSync(mount)
      ? readdirSync(mount)
          .filter((name) => name === root || name.startsWith(`${root}.`))
          .map((name) => join(mount, name))
      : [];
  });
}

/** Processes with a word in their command line or environment: what a sandbox started names its directory or its marker. */
export function processesWith(word: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .filter((pid) => ["cmdline", "environ"].some((file) => readOr(`/proc/${pid}/${file}`).includes(word)));
}

function readOr(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
