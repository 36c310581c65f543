/**
 * The command line of a bubblewrap box: namespaces of its own, no capabilities, a read-only root made of one runtime,
 * sized memory files, a system call filter, an environment built from nothing.
 *
 * I1  Arguments that name host paths travel through a file descriptor: /proc/1/cmdline inside shows none of them.
 * I2  /tmp and /dev/shm are memory of the box, so they are bounded twice: by their size and by the container's memory.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Bound } from "./interpreter.ts";
import { asUser, type BoxCommand, bornIn, type Kind, type Place } from "./kind.ts";
import { FLAGS, type Runnable } from "./runnable.ts";
import { seccompFilter } from "./seccomp.ts";
import { networkFiles, stageRoot } from "./stage.ts";

interface Root {
  readonly path: string;
  readonly bound: readonly Bound[];
  readonly inside: string;
  readonly bootstrap: string;
}

export class Bubblewrap implements Kind {
  readonly #roots = new Map<RuntimeName, Root>();
  readonly #directory: string;
  /** True when a system call filter exists for this processor. */
  readonly filtered: boolean;

  /** Builds the roots below `directory`; takes some tens of milliseconds. */
  constructor(directory: string, runtimes: ReadonlyMap<RuntimeName, Runnable>) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    for (const [runtime, { interpreter, bootstrap }] of runtimes) {
      const path = join(directory, runtime);
      const bound = stageRoot(path, runtime, interpreter, bootstrap);
      this.#roots.set(runtime, {
        path,
        bound,
        inside: interpreter.inside,
        bootstrap: `/runtime/${bootstrap.slice(bootstrap.lastIndexOf("/") + 1)}`,
      });
    }
    const filters = [true, false].map((unixSockets) => seccompFilter(process.arch, unixSockets));
    this.filtered = filters.every((filter) => filter !== undefined);
    filters.forEach((filter, at) => {
      if (filter !== undefined) writeFileSync(join(directory, `filter-${at}`), filter);
    });
  }

  prepare(place: Place): void {
    for (const name of ["code", "dial"]) mkdirSync(join(place.directory, name), { recursive: true });
  }

  command(place: Place, runtime: RuntimeName, doors: readonly string[]): BoxCommand {
    const root = this.#roots.get(runtime);
    if (root === undefined) throw new Fault("BootFailed", `This host has no ${runtime}.`);
    const argumentsFile = join(place.directory, `arguments-${runtime}`);
    writeFileSync(argumentsFile, this.#arguments(place, runtime, root).join("\0"), { mode: 0o600 });
    const files = [argumentsFile];
    // Python forks dial a unix socket, so its boxes keep that family also with the host's network.
    if (this.filtered) files.push(join(this.#directory, `filter-${place.network && runtime === "node" ? 1 : 0}`));
    const { before, after } = FLAGS[runtime];
    // Forks share a box: what keeps them from looking into each other (and into their zygote) is this.
    const apart = runtime === "python" ? ["--hidden"] : [];
    const box = ["bwrap", "--args", "5", "--", root.inside, ...before, root.bootstrap, ...after, ...apart];
    return {
      argv: bornIn(doors, [...asUser(place.uid), ...box]),
      environment: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        // Without groups this mark is all that tells whose a half-started box is when its spawner dies (see strays).
        ...(doors.length === 0 ? { HOME: `${place.directory}/` } : {}),
      },
      directory: "/",
      files,
      tellsPid: true,
    };
  }

  #arguments(place: Place, runtime: RuntimeName, root: Root): string[] {
    const readOnly = (bound: Bound): string[] => ["--ro-bind", bound.from, bound.to];
    const memoryFiles = (size: number, path: string): string[] => ["--perms", "1777", "--size", `${size}`, "--tmpfs", path];
    return [
      ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
      ...(place.network ? [] : ["--unshare-net"]),
      ...["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "box"],
      ...["--info-fd", "4", ...(this.filtered ? ["--seccomp", "6"] : [])],
      ...["--clearenv", "--setenv", "PATH", "/bin:/usr/bin", "--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8"],
      ...readOnly({ from: root.path, to: "/" }),
      ...["--proc", "/proc", "--dev", "/dev"],
      ...memoryFiles(LIMITS.sharedMemory.value, "/dev/shm"),
      ...["--remount-ro", "/dev"],
      ...memoryFiles(LIMITS.scratch.value, "/tmp"),
      ...root.bound.flatMap(readOnly),
      ...readOnly({ from: join(place.directory, "code"), to: "/code" }),
      ...(runtime === "python" ? readOnly({ from: join(place.directory, "dial"), to: "/dial" }) : []),
      ...(place.network ? networkFiles().flatMap(readOnly) : []),
      ...["--chdir", "/tmp"],
    ];
  }

  codePath(_place: Place, name: string): string {
    return `/code/${name}`;
  }

  dialPath(): string {
    return "/dial/s";
  }
}
