/**
 * A unit of systemd, as far as it says how its process is started and stopped: read from the file, with systemd's own rules for variables
 * (`${NAME}` is part of one word, `$NAME` as a word of its own becomes its words). Quotes and specifiers are not read: units here have none.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";

export interface Unit {
  /** All values of a setting of [Service], in order. */
  all(name: string): readonly string[];
  /** The last value. Throws when there is none. */
  one(name: string): string;
}

export function readUnit(path: string): Unit {
  const [, service = ""] = readFileSync(path, "utf8").split(/^\[Service\]$/m);
  const rows = [...(service.split(/^\[/m)[0] ?? "").matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(([, name, value]) => ({
    name,
    value: value ?? "",
  }));
  const all = (wanted: string): string[] => rows.filter(({ name }) => name === wanted).map(({ value }) => value);
  return {
    all,
    one(name) {
      const value = all(name).at(-1);
      if (value === undefined) throw new RangeError(`the unit says no ${name}`);
      return value;
    },
  };
}

/** `30s` and `16min` in ms. */
export function unitMs(text: string): number {
  const [, count, unit] = /^(\d+)(s|min)$/.exec(text) ?? [];
  if (count === undefined) throw new RangeError(`${text} is no time in seconds or minutes`);
  return Number(count) * (unit === "min" ? 60_000 : 1_000);
}

/** Starts the unit's process as systemd does: its line, environment and umask, at `/`, with nothing of this process's own. `moved`: its paths here. */
export function startUnit(unit: Unit, environmentFile: string, moved: (path: string) => string): ChildProcess {
  const variables: Record<string, string> = {};
  for (const word of unit.all("Environment").flatMap((value) => value.split(" "))) assign(variables, word);
  for (const line of environmentFile.split("\n")) assign(variables, line);
  const argv = unit
    .one("ExecStart")
    .split(" ")
    .flatMap((word) => expanded(word, variables).map(moved));
  const wrapped = ["sh", "-c", `umask ${unit.one("UMask")} && exec "$@"`, "sh", ...argv];
  return spawn(wrapped[0] ?? "", wrapped.slice(1), {
    cwd: "/",
    // systemd's own PATH; Node may be elsewhere on the machine of a test.
    env: {
      PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${dirname(process.execPath)}`,
      LANG: "C.UTF-8",
      ...variables,
    },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
}

function assign(variables: Record<string, string>, text: string): void {
  const at = text.indexOf("=");
  if (at > 0) variables[text.slice(0, at)] = text.slice(at + 1);
}

function expanded(word: string, variables: Readonly<Record<string, string>>): string[] {
  const alone = /^\$([A-Z_]+)$/.exec(word)?.[1];
  if (alone !== undefined) return (variables[alone] ?? "").split(" ").filter((one) => one !== "");
  return [word.replaceAll(/\$\{([A-Z_]+)\}/g, (_, name: string) => variables[name] ?? "")];
}
