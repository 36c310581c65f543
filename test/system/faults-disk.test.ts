/** A host whose disk for code is full, on real processes. Needs root, for a small file system of its own. */
import { execFileSync } from "node:child_process";
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { PATIENCE_MS, servesAgain, WORK } from "../support/faults.ts";
import { startPlatform } from "../support/platform.ts";
import { temporaryDirectory } from "../support/temp.ts";
import { until } from "../support/until.ts";

const canMount = process.platform === "linux" && process.getuid?.() === 0;
const root = canMount ? test.serial : test.serial.skip;

root(
  `a host whose disk for code is full: calls work or end in a typed error, and work again when there is room${canMount ? "" : " (skipped: mounting needs root)"}`,
  async (t) => {
    const directory = await temporaryDirectory(t);
    const store = join(directory, "store");
    const cache = join(store, "cache", "host-1");
    mkdirSync(cache, { recursive: true, mode: 0o700 });
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", cache]);
    t.teardown(() => execFileSync("umount", ["-l", cache]));
    const filler = join(cache, "filler");
    const platform = await startPlatform({ temporary: false, store, warm: { node: 2, python: 0 } }, t);
    await platform.deploy("before", WORK);
    await servesAgain(platform, "before", 1);
    try {
      writeFileSync(filler, Buffer.alloc(8 << 20));
    } catch {
      // It is full now, as intended.
    }
    t.is(statfsSync(cache).bavail, 0);
    await platform.deploy("small", WORK);
    // More than a host keeps in memory, so that it has to be a file.
    const large = join(directory, "large.js");
    writeFileSync(large, `const ballast = ${JSON.stringify("x".repeat(2 << 20))};\nexport const handler = () => ballast.length;`);
    await platform.deployPath("large", large);
    for (const target of ["before", "small", "large"]) {
      const ended = await platform.call(target, { n: 2 }, {}, PATIENCE_MS);
      t.log(`seen: ${target}: ${ended.error ?? "answered"} ${ended.message}`);
      t.true(ended.error === undefined || ended.error === "CodeUnavailable", `${target}: ${ended.error}: ${ended.message}`);
    }
    writeFileSync(filler, "");
    for (const target of ["before", "small", "large"]) {
      await until(
        async () => (await platform.call(target, { n: 3 }, {}, PATIENCE_MS)).error === undefined,
        `an answer of ${target}`,
        PATIENCE_MS,
      );
    }
    t.pass();
  },
);
