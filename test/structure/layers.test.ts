import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import test from "ava";
import { projectRoot } from "../support/project-root.ts";
import { LAYERS } from "./rules.ts";
import { faultsOf, importsOf, impureGlobalsOf } from "./source.ts";

const FOLDERS = [...new Set(LAYERS.map(({ folder }) => folder.split("/")[0] ?? folder))];

test("imports go one way: protocol ← actors ← nodes ← cli, and pure layers touch no world", async (t) => {
  const faults: string[] = [];
  let files = 0;
  for (const folder of FOLDERS) {
    const directory = join(projectRoot(), folder);
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".ts")) continue;
      const file = join(entry.parentPath, entry.name);
      files += 1;
      faults.push(...(await faultsOf(relative(projectRoot(), file).split(sep).join("/"), await readFile(file, "utf8"))));
    }
  }
  t.true(files > 100, "the sources were found");
  t.deepEqual(faults, []);
});

test("the rule names the import that breaks it", async (t) => {
  t.deepEqual(await faultsOf("actors/host/slot.ts", 'import { clock } from "../../nodes/io/clock.ts";'), [
    "actors/host/slot.ts imports ../../nodes/io/clock.ts, which actors/ may not",
  ]);
  t.deepEqual(await faultsOf("protocol/names.ts", 'export type { Bus } from "../actors/kit/bus.ts";'), [
    "protocol/names.ts imports types of ../actors/kit/bus.ts, which protocol/ may not",
  ]);
  t.deepEqual(await faultsOf("nodes/up.ts", 'import {\n  spawn,\n  type Child,\n} from "node:child_process";'), [
    "nodes/up.ts imports node:child_process, which nodes/ may not",
  ]);
  t.deepEqual(await faultsOf("cli/app.ts", 'const { connect } = await import("nats");'), ["cli/app.ts imports nats, which cli/ may not"]);
  t.deepEqual(await faultsOf("cli/app.ts", 'import { startHost } from "../actors/host/agent.ts";'), [
    "cli/app.ts imports ../actors/host/agent.ts, which cli/ may not",
  ]);
});

test("what the rule allows passes", async (t) => {
  t.deepEqual(await faultsOf("cli/app.ts", 'import type { Host } from "../actors/host/agent.ts";'), []);
  t.deepEqual(await faultsOf("actors/host/agent.ts", 'import { setup } from "xstate";\nimport type { Static } from "typebox";'), []);
  t.deepEqual(await faultsOf("nodes/io/nats.ts", 'import { connect } from "nats";'), []);
  t.deepEqual(await faultsOf("test/anything.ts", 'import { connect } from "nats";'), []);
  t.deepEqual(importsOf('// import { a } from "nats";\n/* import "pino"; */\n'), []);
});

test("an impure global is told from a word in a comment, a string or a parameter of that name", async (t) => {
  t.deepEqual(await impureGlobalsOf("export const now = (): number => Date.now() + Math.random();"), ["Date", "Math.random"]);
  t.deepEqual(await impureGlobalsOf("export const at = new Date();\nsetTimeout(() => performance.now(), 5);"), [
    "Date",
    "performance",
    "setTimeout",
  ]);
  t.deepEqual(await impureGlobalsOf('// Date.now\nexport const text = "setTimeout process.exit";'), []);
  t.deepEqual(await impureGlobalsOf("export const f = (process: { pid: number }): number => process.pid;"), []);
});
