/**
 * `npm test`: installs what is missing, builds, runs the pure and then the system tests, shows what failed, and ends
 * with one plain line: `N passed, N failed, N skipped`. Words after `--`: test files, and options for ava (--match=…).
 * Exit code 1 when a test failed, a test process ended badly, or no test ran at all.
 */
import { spawn } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { prepare, ROOT } from "./prepare.mjs";
import { ensurePrograms } from "./programs.mjs";

ensurePrograms();
prepare();

const state = mkdtempSync(join(tmpdir(), "pilotlight-test-"));
const environment = {
  ...withoutNats(process.env),
  PILOT_ROOT: ROOT,
  // Tests must not find, or be found by, what the developer runs.
  PILOT_STATE_HOME: state,
  XDG_DATA_HOME: join(state, "data"),
};

const words = process.argv.slice(2);
const options = words.filter((word) => word.startsWith("-"));
const files = words.filter((word) => !word.startsWith("-")).map(compiled);
const KINDS = [
  { name: "pure", config: "ava.config.js", owns: (file) => /^dist\/test\/(protocol|actors)\//.test(file) },
  { name: "system", config: "ava.system.config.js", owns: (file) => !/^dist\/test\/(protocol|actors)\//.test(file) },
];

const total = { passed: 0, failed: 0, skipped: 0 };
for (const { name, config, owns } of KINDS) {
  const own = files.filter(owns);
  if (files.length > 0 && own.length === 0) continue;
  process.stderr.write(`pilotlight: ${name} tests …\n`);
  const found = await runAva(name, config, own);
  process.stderr.write(`pilotlight: ${name} tests: ${line(found)}\n`);
  for (const key of Object.keys(total)) total[key] += found[key];
}
rmSync(state, { recursive: true, force: true });
process.stdout.write(`${line(total)}\n`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

function line({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** `test/x.test.ts` is run as what it was compiled to. */
function compiled(file) {
  const plain = file.replace(/^\.\//, "").replace(/\.ts$/, ".js");
  return plain.startsWith("dist/") ? plain : `dist/${plain}`;
}

/** Runs one configuration; the whole TAP text is kept in dist/<name>.tap. */
function runAva(name, config, own) {
  const ava = join(ROOT, "node_modules", "ava", "entrypoints", "cli.mjs");
  const child = spawn(process.execPath, [ava, "--config", config, "--tap", ...options, ...own], {
    cwd: ROOT,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const record = createWriteStream(join(ROOT, "dist", `${name}.tap`));
  child.stdout.pipe(record);
  const found = { passed: 0, failed: 0, skipped: 0 };
  let inFailure = false;
  let broken = 0;
  createInterface(child.stdout).on("line", (text) => {
    const count = /^# (pass|fail|skip|todo) (\d+)/.exec(text);
    if (count !== null) {
      const key = { pass: "passed", fail: "failed", skip: "skipped", todo: "skipped" }[count[1]];
      found[key] += Number(count[2]);
    } else if (/^not ok /.test(text) && !/# (SKIP|TODO)/.test(text)) {
      inFailure = true;
      broken += 1;
      process.stderr.write(`\n✘ ${text.replace(/^not ok \d+ - /, "")}\n`);
    } else if (/^\s*---$/.test(text)) {
      // The block of details begins.
    } else if (/^\s*\.\.\.$/.test(text) || /^(ok|#|\d+\.\.)/.test(text)) inFailure = false;
    else if (inFailure) process.stderr.write(`${text}\n`);
  });
  let complaint = "";
  child.stderr.on("data", (bytes) => {
    complaint = (complaint + bytes).slice(-16_384);
  });
  return new Promise((resolve) => {
    child.on("close", (code) => {
      // With --match one of the two configurations may well have nothing to run.
      const nothing = broken === 0 && found.passed === 0 && options.some((word) => word.startsWith("--match"));
      if (complaint !== "") process.stderr.write(complaint);
      // A crash outside of any test (a file that cannot be loaded, a process left over) counts as one failure.
      if (code !== 0 && found.failed === 0 && !nothing) found.failed = 1;
      resolve(found);
    });
  });
}

/** What is meant for tests stays: PILOT_TEST_…, PILOT_CHAOS_…, PILOT_UPGRADE_… and PILOT_KEEP_LOGS. */
function withoutNats(variables) {
  return Object.fromEntries(
    Object.entries(variables).filter(([name]) => !/^(NATS_|PILOT_(?!TEST_|CHAOS_|UPGRADE_|KEEP_LOGS$))/.test(name)),
  );
}
