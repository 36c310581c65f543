/** What compose.yaml says, read as compose reads it: anchors merged, variables at their defaults. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { projectRoot } from "./project-root.ts";

export interface ComposeService {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly scale?: number;
  readonly user?: string;
  readonly privileged?: boolean;
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly profiles?: readonly string[];
  readonly stop_grace_period?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export function readCompose(): ComposeFile {
  const text = readFileSync(join(projectRoot(), "compose.yaml"), "utf8");
  return parse(
    text.replaceAll(/\$\{\w+:-([^}]*)\}/g, (_, instead: string) => instead),
    { merge: true },
  ) as ComposeFile;
}
