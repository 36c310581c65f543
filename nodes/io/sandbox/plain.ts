/**
 * The `process` kind, for machines without Linux namespaces: the same bootstraps as plain child processes, each in a
 * process group of its own, with a built-up environment. It separates nothing but what users and rlimits separate.
 */
import { chmodSync, chownSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import type { BoxCommand, Kind, Place } from "./kind.ts";
import { FLAGS, type Runnable } from "./runnable.ts";
import { stageBootstrap } from "./stage.ts";

const KiB = 1024;
/** Processes of one user, so of all containers of an instance; each container is held to its own number by looking. */
const PROCESSES = 16 * LIMITS.processes.value;

export class Plain implements Kind {
  readonly #commands = new Map<RuntimeName, readonly string[]>();
  /** True where setpriv exists: the children die with their spawner and lose the way to more rights. */
  readonly #setpriv: boolean;

  constructor(directory: string, runtimes: ReadonlyMap<RuntimeName, Runnable>) {
    this.#setpriv = process.platform === "linux" && ["/usr/bin/setpriv", "/bin/setpriv"].some((path) => existsSync(path));
    for (const [runtime, { interpreter, bootstrap }] of runtimes) {
      const staged = join(directory, runtime);
      mkdirSync(staged, { recursive: true });
      const file = stageBootstrap(bootstrap, staged, runtime, interpreter);
      const { before, after } = FLAGS[runtime];
      this.#commands.set(runtime, [interpreter.binary, ...before, join(staged, file), ...after]);
    }
  }

  prepare(place: Place): void {
    for (const name of ["code", "dial", "scratch"]) mkdirSync(join(place.directory, name), { recursive: true });
    const scratch = join(place.directory, "scratch");
    chmodSync(scratch, 0o700);
    if (place.uid === undefined) return;
    chownSync(scratch, place.uid, place.uid);
    // The instance's files are for its own user (by group) and the agent only.
    chownSync(place.directory, 0, place.uid);
    chmodSync(place.directory, 0o750);
  }

  command(place: Place, runtime: RuntimeName): BoxCommand {
    const command = this.#commands.get(runtime);
    if (command === undefined) throw new Fault("BootFailed", `This host has no ${runtime}.`);
    const scratch = join(place.directory, "scratch");
    // -f counts blocks of 512 bytes in POSIX shells. What a shell refuses is left as it is: these are extra walls.
    const bounds = [
      `ulimit -c 0`,
      `ulimit -n 1024`,
      `ulimit -f ${(LIMITS.scratch.value / KiB) * 2}`,
      ...(place.uid === undefined ? [] : [`ulimit -p ${PROCESSES} 2>/dev/null || ulimit -u ${PROCESSES}`]),
    ];
    const shell = ["sh", "-c", `{ ${bounds.join("; ")}; } 2>/dev/null; exec "$@"`, "sh"];
    const user =
      place.uid === undefined
        ? []
        : ["--reuid", `${place.uid}`, "--regid", `${place.uid}`, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    // The parent-death signal comes last: a change of user clears it.
    const careful = this.#setpriv ? ["setpriv", "--no-new-privs", ...user, "--", "setpriv", "--pdeathsig", "KILL", "--"] : [];
    return {
      argv: [...shell, ...careful, ...command],
      environment: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: scratch,
        TMPDIR: scratch,
        LANG: "C.UTF-8",
      },
      directory: scratch,
      files: [],
      tellsPid: false,
    };
  }

  codePath(place: Place, name: string): string {
    return join(place.directory, "code", name);
  }

  dialPath(place: Place): string {
    return join(place.directory, "dial", "s");
  }
}
