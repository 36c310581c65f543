/**
 * The command line of a bubblewrap box: namespaces of its own, no capabilities, a read-only root made of one runtime,
 * sized memory files, a system call filter, an environment built from nothing.
 *
 * I1  Arguments that name host paths travel through a file descriptor: /proc/1/cmdline inside shows none of them.
 * I2  /tmp and /dev/shm are memory of the box, so they are bounded twice: by their size and by the container's memory.
 * I3  A box with a network is born in a namespace that was made for it, whose owner is nobody inside the box; so no
 *     right that could be won inside changes a route.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { Bound } from "./interpreter.ts";
import { asUser, type BoxCommand, bornIn, type Kind, type Place } from "./kind.ts";
import type { Network } from "./network.ts";
import type { Reach } from "./reach.ts";
import { FLAGS, type Runnable } from "./runnable.ts";
import { seccompFilter } from "./seccomp.ts";
import { networkFiles, stageRoot } from "./stage.ts";
import { writeWhole } from "./whole-file.ts";

interface Root {
  readonly path: string;
  readonly bound: readonly Bound[];
  readonly inside: string;
  readonly bootstrap: string;
}

export class Bubblewrap implements Kind {
  readonly #roots = new Map<RuntimeName, Root>();
  readonly #directory: string;
  readonly #network: Network | undefined;
  /** True when a system call filter exists for this processor. */
  readonly filtered: boolean;

  /** Builds the roots below `directory`; takes some tens of milliseconds. Without `network` no box can have one. */
  constructor(directory: string, runtimes: ReadonlyMap<RuntimeName, Runnable>, network?: Network) {
    this.#directory = directory;
    this.#network = network;
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
    const filter = seccompFilter(process.arch);
    this.filtered = filter !== undefined;
    if (filter !== undefined) writeFileSync(join(directory, "filter"), filter);
  }

  prepare(place: Place): void {
    for (const name of ["code", "dial"]) mkdirSync(join(place.directory, name), { recursive: true });
  }

  async command(place: Place, runtime: RuntimeName, doors: readonly string[]): Promise<BoxCommand> {
    const root = this.#roots.get(runtime);
    if (root === undefined) throw new Fault("BootFailed", `This host has no ${runtime}.`);
    const reach = place.network ? await this.#reach() : undefined;
    const argumentsFile = join(place.directory, `arguments-${runtime}`);
    // Another box of the instance may be about to read it: half of these words would be a box with fewer walls.
    writeWhole(argumentsFile, this.#arguments(place, runtime, root, reach).join("\0"), 0o600);
    const files = [argumentsFile];
    if (this.filtered) files.push(join(this.#directory, "filter"));
    const { before, after } = FLAGS[runtime];
    // Forks share a box: what keeps them from looking into each other (and into their zygote) is this.
    const apart = runtime === "python" ? ["--hidden"] : [];
    const box = ["bwrap", "--args", "5", "--", root.inside, ...before, root.bootstrap, ...after, ...apart];
    const environment = {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      // Without groups this mark is all that tells whose a half-started box is when its spawner dies (see strays).
      ...(doors.length === 0 ? { HOME: `${place.directory}/` } : {}),
    };
    const outer = { environment, directory: "/", tellsPid: true };
    if (reach === undefined || this.#network === undefined) return { ...outer, argv: bornIn(doors, [...asUser(place.uid), ...box]), files };
    files.push(join(place.directory, "routes"));
    writeWhole(join(place.directory, "routes"), reach.orders, 0o600);
    return {
      ...outer,
      argv: bornIn(doors, [...asUser(place.uid), ...joined(4 + files.length), ...box]),
      files,
      uplink: { argv: this.#network.command(place, doors, reach), environment },
    };
  }

  async #reach(): Promise<Reach> {
    if (this.#network === undefined) throw new Fault("ConfigurationUnavailable", "This host cannot give a box a network.");
    return this.#network.reach();
  }

  #arguments(place: Place, runtime: RuntimeName, root: Root, reach: Reach | undefined): string[] {
    const readOnly = (bound: Bound): string[] => ["--ro-bind", bound.from, bound.to];
    const memoryFiles = (size: number, path: string): string[] => ["--perms", "1777", "--size", `${size}`, "--tmpfs", path];
    return [
      ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
      ...(reach === undefined ? ["--unshare-net"] : []),
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
      ...(reach === undefined ? [] : [...networkFiles(), resolvConf(place, reach)].flatMap(readOnly)),
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

/**
 * Begins a box in a network namespace of its own: closes what is to be closed (orders on fd `routes`), says so on the
 * descriptor after it, and goes on when the answer says that the network is there. Version 6 is off.
 */
function joined(routes: number): string[] {
  const talk = routes + 1;
  const steps = [
    `ip -batch - <&${routes} || exit 95`,
    'if [ -e "$0" ]; then echo 1 > "$0" || exit 95; fi',
    `echo up >&${talk}; read -r go <&${talk} || exit 96`,
    `exec ${routes}<&- ${talk}>&-; exec "$@"`,
  ];
  const script = steps.join("; ");
  return ["unshare", "--user", "--map-root-user", "--net", "--", "dash", "-c", script, "/proc/sys/net/ipv6/conf/all/disable_ipv6"];
}

function resolvConf(place: Place, reach: Reach): Bound {
  const from = join(place.directory, "resolv.conf");
  writeWhole(from, `nameserver ${reach.resolver}\n`, 0o644);
  return { from, to: "/etc/resolv.conf" };
}
