import { mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { openLogFile } from "../../nodes/io/log-file.ts";
import { temporaryDirectory } from "../support/temp.ts";

test("a log file and its predecessor together stay within the bound, and the newest lines are kept", async (t) => {
  const path = join(await temporaryDirectory(t), "node.log");
  const log = openLogFile(path, 1_000);
  for (let line = 0; line < 500; line += 1) log.write(Buffer.from(`line ${line}\n`));
  log.close();
  t.true(statSync(path).size + statSync(`${path}.1`).size <= 1_000);
  t.true(readFileSync(path, "utf8").endsWith("line 499\n"));
  t.is(log.dropped(), 0);
});

test("one piece that is larger than the whole file is cut, and what is lost is counted", async (t) => {
  const path = join(await temporaryDirectory(t), "node.log");
  const log = openLogFile(path, 1_000);
  log.write(Buffer.alloc(5_000, "x"));
  t.is(log.dropped(), 4_500);
  log.close();
  log.write(Buffer.from("after the end"));
  t.is(statSync(path).size, 500);
});

test("a log file goes on where it was when it is opened again", async (t) => {
  const path = join(await temporaryDirectory(t), "node.log");
  for (const word of ["one", "two"]) {
    const log = openLogFile(path, 1_000);
    log.write(Buffer.from(word));
    log.close();
  }
  t.is(readFileSync(path, "utf8"), "onetwo");
});

test("a log whose directory is away drops what comes, and goes on when it is back, with whole lines", async (t) => {
  const directory = join(await temporaryDirectory(t), "logs");
  const path = join(directory, "node.log");
  const complaints: string[] = [];
  const log = openLogFile(path, 1_000, (what) => complaints.push(what));
  log.write(Buffer.from("lost\n"));
  log.write(Buffer.from("lost too\n"));
  t.is(log.dropped(), 14);
  t.is(complaints.length, 1, complaints.join("\n"));
  mkdirSync(directory);
  log.write(Buffer.from("kept\n"));
  t.is(readFileSync(path, "utf8"), "kept\n");
  // It is away again just as the file is full.
  log.write(Buffer.from(`${"x".repeat(490)}\n`));
  renameSync(directory, `${directory}.away`);
  log.write(Buffer.from(`${"y".repeat(490)}\n`));
  t.is(log.dropped(), 14 + 491);
  t.is(complaints.length, 2);
  renameSync(`${directory}.away`, directory);
  log.write(Buffer.from("again\n"));
  t.true(readFileSync(path, "utf8").endsWith("again\n"));
  log.close();
});

test("a log whose file somebody removed or moved away is begun anew when it is its turn to be set aside", async (t) => {
  const path = join(await temporaryDirectory(t), "node.log");
  const complaints: string[] = [];
  const log = openLogFile(path, 1_000, (what) => complaints.push(what));
  t.teardown(() => log.close());
  log.write(Buffer.from(`${"x".repeat(490)}\n`));
  rmSync(path);
  for (let line = 0; line < 20; line += 1) log.write(Buffer.from(`line ${line}\n`));
  t.deepEqual(complaints, []);
  t.is(log.dropped(), 0);
  t.true(readFileSync(path, "utf8").endsWith("line 19\n"));
});
