/** What the agent and its spawner say to each other, over the IPC channel of child_process. */
import type { GroupName } from "./groups.ts";
import type { UplinkOrder } from "./uplink.ts";

/** How the spawner is started: everything that does not change, as one JSON argument. */
export interface SpawnerSetup {
  readonly runDirectory: string;
  readonly socket: string;
  readonly groups: "v1" | "v2" | "none";
  readonly groupRoot: string;
}

export type Order =
  /** Starts a box: dials the agent's socket, announces `id`, runs argv with the socket as fd 3 and `files` from fd 5 on. */
  | {
      readonly do: "box";
      readonly id: string;
      readonly argv: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
      readonly directory: string;
      readonly files: readonly string[];
      /** The child writes {"child-pid": N} to fd 4; otherwise its own pid is the box's. */
      readonly tellsPid: boolean;
      /** Makes the box's network; the box gets one more descriptor after `files` to wait for it. */
      readonly uplink?: UplinkOrder;
      readonly group: GroupName;
      readonly instanceMb: number;
      readonly shares: number;
    }
  /** Finds a fork by its pid inside box `zygote` and moves it into its own group. Answered. */
  | {
      readonly do: "adopt";
      readonly ask: number;
      readonly zygote: string;
      readonly innerPid: number;
      readonly group: GroupName;
      readonly instanceMb: number;
    }
  /** Kills whatever is left in a group (and below `pid`) and removes it. Answered when nothing is left. */
  | { readonly do: "clear"; readonly ask: number; readonly group: GroupName; readonly pid?: number; readonly box: string }
  /** Removes the group of an instance and its directory. Answered. */
  | { readonly do: "clearInstance"; readonly ask: number; readonly instance: string; readonly directory: string }
  /** Backs up a kill that the agent has begun: the box is gone soon, whatever it does. */
  | { readonly do: "kill"; readonly id: string }
  /** Asks for a sign of life. */
  | { readonly do: "beat" };

export type Report =
  | { readonly is: "up" }
  | { readonly is: "beat" }
  /** Pid of the box's first process, as the host sees it. */
  | { readonly is: "born"; readonly id: string; readonly pid: number }
  /** The box and its group are gone. `spawnError`: it never ran. */
  | {
      readonly is: "gone";
      readonly id: string;
      readonly code: number | null;
      readonly signal: string | null;
      readonly oomKills: number;
      readonly output: string;
      readonly spawnError?: string;
    }
  | {
      readonly is: "answer";
      readonly ask: number;
      readonly error?: string;
      readonly pid?: number;
      readonly oomKills?: number;
      readonly output?: string;
    };
