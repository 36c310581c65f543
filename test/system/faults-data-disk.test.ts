/**
 * A host whose whole data directory (run files, code, logs) is on a disk that is full, first of bytes and then of files, on real processes.
 * Needs root, for a small file system of its own.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { type RunningNodes, runNodes } from "../../nodes/run/node-run.ts";
import { isSilence, PATIENCE_MS, WORK } from "../support/faults.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
const canMount = process.platform === "linux" && process.getuid?.() === 0;
const root = canMount ? test : test.skip;
const skipped = canMount ? "" : " (skipped: mounting needs root)";

/** What may be said where the disk has no room for what a call needs. */
const TYPED = ["CodeUnavailable", "BootFailed", "Throttled", "Unavailable", "InstanceLost"];
const HOST = "host-small";

/** Fills the disk until nothing more can be written, by bytes or by files; gives what makes room again. */
const FILLERS = {
  bytes(directory: string) {
    const path = join(directory, "filler");
    const file = openSync(path, "w");
    const block = Buffer.alloc(4_096);
    try {
      for (;;) writeSync(file, block);
    } catch {
      // It is full now, as intended.
    }
    closeSync(file);
    return () => rmSync(path);
  },
  files(directory: string) {
    const folder = join(directory, "fillers");
    mkdirSync(folder);
    try {
      for (let n = 0; ; n++) writeFileSync(join(folder, String(n)), "");
    } catch {
      // No file can be made any more, as intended.
    }
    return () => rmSync(folder, { recursive: true });
  },
};

async function small(t: ExecutionContext<never>) {
  const directory = await temporaryDirectory(t);
  // What users of boxes pass through is in the directory for temporary files, since the data directory is closed to them.
  chmodSync(directory, 0o755);
  const data = join(directory, "data");
  mkdirSync(data);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m,nr_inodes=2000,mode=755", "tmpfs", data]);
  t.teardown(() => execFileSync("umount", ["-l", data]));
  const platform = await startPlatform({ hosts: 0 }, t);
  const temporary = join(data, "tmp");
  mkdirSync(temporary);
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = temporary;
  t.teardown(() => {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  });
  const said: string[] = [];
  const start = async (): Promise<RunningNodes> => {
    const nodes = await runNodes({
      roles: ["host"],
      name: "small",
      data,
      credentials: { store: platform.running.store },
      warm: { node: 1, python: 0 },
      logLevel: "debug",
      say: (sentence) => said.push(sentence),
    });
    t.teardown(() => nodes.stop());
    return nodes;
  };
  return { platform, start, data, temporary, directory, said };
}

/** Ends as the function says, or with an error of the list. */
async function answered(t: ExecutionContext<never>, platform: Platform, targets: readonly string[]) {
  const ended = await Promise.all(targets.map((target) => platform.call(target, { n: 1 }, { "Pilot-Deadline": "5000" }, PATIENCE_MS)));
  for (const [at, { error, message }] of ended.entries()) {
    t.log(`seen: ${targets[at]}: ${error ?? "answered"} ${message}`);
    t.true(error === undefined || TYPED.includes(error), `${targets[at]}: ${error}: ${message}`);
    t.false(isSilence({ error, message }), targets[at]);
    t.notRegex(message, /ENOSPC|\/data/, "what a caller cannot use, and need not know");
  }
  return ended;
}

const serves = (platform: Platform, target: string) =>
  until(
    async () => (await platform.call(target, { n: 2 }, { "Pilot-Deadline": "5000" }, PATIENCE_MS)).error === undefined,
    `an answer of ${target}`,
    PATIENCE_MS,
  );

for (const kind of ["bytes", "files"] as const) {
  root(
    `a host whose data directory has no room for ${kind}: it goes on, calls work or end in a typed error, and all is well when there is room${skipped}`,
    async (t) => {
      t.timeout(4 * PATIENCE_MS);
      const { platform, start, data, temporary, directory, said } = await small(t);
      const nodes = await start();
      const log = join(data, "logs", `${HOST}.log`);
      await platform.deploy("before", WORK);
      await serves(platform, "before");
      const pid = nodes.pidOf(HOST);
      const makeRoom = FILLERS[kind](data);
      const { bavail, ffree } = statfsSync(data);
      t.is(kind === "bytes" ? bavail : ffree, 0);
      const large = join(directory, "large.js");
      writeFileSync(large, `const ballast = ${JSON.stringify("x".repeat(2 << 20))};\nexport const handler = () => ballast.length;`);
      // Other accounts need instances of their own: directories, and files of their boxes.
      const targets = ["before", "new", "large", "one/new", "two/new", "three/large"];
      for (const target of targets.slice(1)) {
        const [name = "", account = "main"] = target.split("/").reverse();
        if (name === "large") await platform.deployPath(name, large, { account });
        else await platform.deploy(name, WORK, { account });
      }
      await answered(t, platform, targets);
      // A second time: what was refused once has left nothing that stands in the way.
      await answered(t, platform, targets);
      t.is(nodes.pidOf(HOST), pid, said.join("\n"));
      makeRoom();
      for (const target of targets) await serves(platform, target);
      t.is(nodes.pidOf(HOST), pid, said.join("\n"));
      const before = statSync(log).size;
      await platform.deploy("bad", "exports.handler = async () => { throw new Error('no'); };");
      t.is((await platform.call("bad")).error, "HandlerError");
      await until(() => statSync(log).size > before, "lines in the log again");
      const present = async () => (await platform.fleet()).hosts[0]?.instances.length;
      const directories = () => readdirSync(join(temporary, readdirSync(temporary).find((name) => name.startsWith("pilot-")) ?? "", "i"));
      await until(async () => directories().length === (await present()), `directories of present instances only`, PATIENCE_MS);
    },
  );
}

root(`a host that begins on a full disk waits for room, and is never one with less isolation instead${skipped}`, async (t) => {
  t.timeout(4 * PATIENCE_MS);
  const { platform, start, data, temporary, said } = await small(t);
  await platform.deploy("echo", WORK);
  for (const fill of Object.values(FILLERS)) {
    // Room for the little that a host without isolation needs.
    writeFileSync(join(temporary, "little"), Buffer.alloc(2 << 20));
    const files = Array.from({ length: 100 }, (_, nth) => join(temporary, `little-${nth}`));
    for (const file of files) writeFileSync(file, "");
    const makeRoom = fill(data);
    rmSync(join(temporary, "little"));
    for (const file of files) rmSync(file);
    const starting = start();
    await Promise.race([starting, until(() => said.some((sentence) => /waits .*room/.test(sentence)), "word that it waits", PATIENCE_MS)]);
    await answered(t, platform, ["echo"]);
    t.deepEqual((await platform.fleet()).hosts, [], said.join("\n"));
    makeRoom();
    const nodes = await starting;
    await serves(platform, "echo");
    t.is((await platform.fleet()).hosts[0]?.isolation.kind, "bubblewrap");
    await nodes.stop();
    said.length = 0;
    await until(async () => (await platform.fleet()).hosts.length === 0, "the end of the host", PATIENCE_MS);
  }
});

root(`a host that dies while its disk is full comes back${skipped}`, async (t) => {
  t.timeout(4 * PATIENCE_MS);
  const { platform, start, data, said } = await small(t);
  const nodes = await start();
  await platform.deploy("echo", WORK);
  await serves(platform, "echo");
  const ways = Object.values(FILLERS).map((fill) => fill(data));
  process.kill(nodes.pidOf(HOST) ?? 0, "SIGKILL");
  await until(() => said.some((sentence) => sentence.includes(`${HOST} ended`)), "word of its end", PATIENCE_MS);
  await answered(t, platform, ["echo"]);
  for (const makeRoom of ways) makeRoom();
  await serves(platform, "echo");
});
