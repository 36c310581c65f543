import { readFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { VERSION } from "../../protocol/version.ts";
import { projectRoot } from "../support/project-root.ts";

test("the version that nodes announce is the version of the package", async (t) => {
  const manifest = JSON.parse(await readFile(join(projectRoot(), "package.json"), "utf8")) as { version: string };
  t.is(VERSION, manifest.version);
});
