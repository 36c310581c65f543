/** What is missing in the isolation of this host, in plain sentences, for `pilot doctor`. */
import type { RuntimeName } from "../../../actors/instance/sandbox.ts";
import type { GroupsKind } from "./open-groups.ts";

export interface Level {
  readonly kind: "bubblewrap" | "process";
  readonly groups: GroupsKind;
  readonly ownUid: boolean;
  readonly filtered: boolean;
  /** Why no box can have a network, if so. */
  readonly noNetwork: string | undefined;
  readonly runtimes: readonly RuntimeName[];
}

export function findGaps(level: Level): string[] {
  const gaps: string[] = [];
  const gap = (when: boolean, sentence: string): void => {
    if (when) gaps.push(sentence);
  };
  gap(
    level.kind === "process",
    "Functions are plain processes: they see the host's files as their user may, other processes, and the whole network with or without --network: services on loopback, and the broker as any anonymous local program.",
  );
  gap(level.kind === "process", "A function can fill the disk file by file, and a process that leaves its tree may outlive its container.");
  gap(
    level.groups === "none",
    "There are no control groups here: memory and processes are watched a few times a second instead of bounded by the kernel, and cpu is not shared out.",
  );
  gap(level.groups === "v2", "Control groups of version 2 are used; this code was never run on such a machine by its authors.");
  gap(!level.ownUid, "Instances run as the agent's own user: the agent is not root, or its directories are closed to other users.");
  gap(level.kind === "bubblewrap" && !level.filtered, `There is no system call filter for processor ${process.arch}.`);
  gap(level.kind === "bubblewrap" && level.noNetwork !== undefined, noNetwork(level.noNetwork ?? ""));
  for (const runtime of ["node", "python"] as const)
    gap(!level.runtimes.includes(runtime), `The runtime ${runtime} was not found on this host.`);
  return gaps;
}

/** The sentence for a host that can give functions no network, and why. */
export function noNetwork(why: string): string {
  return `Functions deployed with --network are refused here, since a box could get no network of its own: ${why}.`;
}
