/** Which control groups this machine has, and the object for them. */
import type { Groups } from "./groups.ts";
import { GroupsV1, v1Works } from "./groups-v1.ts";
import { GroupsV2, v2Works } from "./groups-v2.ts";

export type GroupsKind = "v1" | "v2" | "none";

/** Finds out by making the root group; `none` when this process may not. */
export function findGroups(root: string): GroupsKind {
  if (process.platform !== "linux") return "none";
  if (v2Works(root)) return "v2";
  return v1Works(root) ? "v1" : "none";
}

export function openGroups(kind: GroupsKind, root: string): Groups | undefined {
  if (kind === "none") return undefined;
  return kind === "v1" ? new GroupsV1(root) : new GroupsV2(root);
}
