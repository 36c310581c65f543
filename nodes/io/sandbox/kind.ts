/** What a kind of sandbox decides: the command line of a box, and where things are when seen from inside. */
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import type { UplinkOrder } from "./uplink.ts";

/** An instance as the host sees it. */
export interface Place {
  readonly instance: string;
  /** The instance's own directory; holds `code` (read-only inside), `dial` (the socket of Python forks) and `scratch`. */
  readonly directory: string;
  /** Host uid of its processes; undefined: the agent's own. */
  readonly uid: number | undefined;
  readonly network: boolean;
}

export interface BoxCommand {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Opened by the spawner, from fd 5 on. */
  readonly files: readonly string[];
  /** True: the child tells the pid of the box's first process on fd 4. */
  readonly tellsPid: boolean;
  /** The helper that makes its network; the command then has one more descriptor after `files`, over which they meet. */
  readonly uplink?: UplinkOrder;
}

export interface Kind {
  /** Makes what an instance needs on disk. */
  prepare(place: Place): void;
  /** `doors`: files that put a process into its control group. Throws BootFailed when this machine lacks the runtime. */
  command(place: Place, runtime: RuntimeName, doors: readonly string[]): BoxCommand | Promise<BoxCommand>;
  /** A file of the instance's code directory, as a container sees it. */
  codePath(place: Place, name: string): string;
  /** The socket that forks dial, as a container sees it. */
  dialPath(place: Place): string;
}

/** Runs a command as another user, with no way back to more rights. */
export function asUser(uid: number | undefined): string[] {
  if (uid === undefined) return [];
  return ["setpriv", "--pdeathsig", "KILL", "--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups", "--"];
}

// $1… are the doors, then --, then the command. Raising one's own OOM score makes the host's killer take boxes before anything else.
const ENTER =
  'while [ "$1" != -- ]; do echo 0 > "$1" || exit 97; shift; done; shift; echo 900 2>/dev/null > /proc/self/oom_score_adj; ulimit -c 0; ulimit -n 1024; exec "$@"';

/**
 * A command that dies with its parent from its first instruction and enters its control group before it becomes itself:
 * moving a running process later would cost tens of milliseconds.
 */
export function bornIn(doors: readonly string[], command: readonly string[]): string[] {
  return ["setpriv", "--pdeathsig", "KILL", "--", "dash", "-c", ENTER, "sh", ...doors, "--", ...command];
}
