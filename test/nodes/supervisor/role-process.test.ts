/** A node's process, as its supervisor sees it: here a program that says something and ends at once. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { startRole } from "../../../nodes/io/role-process.ts";
import { temporaryDirectory } from "../../support/temp.ts";

test("the last words of a node that ends at once are heard, and in its log", async (t) => {
  const directory = await temporaryDirectory(t);
  const entry = join(directory, "entry.mjs");
  await writeFile(entry, 'process.stdout.write(`${"x".repeat(60_000)}\\nlast words\\n`); process.exit(3);');
  const one = async (nth: number): Promise<void> => {
    const heard: string[] = [];
    const logFile = join(directory, `${nth}.log`);
    const child = startRole({
      entry,
      environment: {},
      goesFirst: false,
      logFile,
      trouble: () => t.fail(),
      message: () => undefined,
      line: (line) => heard.push(line),
    });
    t.is(await child.exited, "it exited with code 3");
    t.is(heard.at(-1), "last words");
    t.true((await readFile(logFile, "utf8")).endsWith("last words\n"));
  };
  for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 8 }, (_, nth) => one(round * 8 + nth)));
});
