/**
 * Makes a checkout ready to run: the right Node, installed packages, a build that is not older than its sources.
 * Plain JavaScript with Node's own modules only, because it runs before anything is installed.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const NODE_NEEDED = [20, 19];
const SOURCES = ["protocol", "actors", "nodes", "runtimes", "cli", "client", "test", "bench", "scripts"];
const STAMP = join(ROOT, "dist", ".built");
/** Made by bundle.mjs, of no sources of the same name. */
const BUNDLE = join(ROOT, "dist", "pilot");
const LOCK = join(ROOT, "dist", ".preparing");
/** How long one process waits for another that is installing or building. */
const LOCK_WAIT_MS = 300_000;
/** npm writes its two lock files shortly after one another; a difference below this says nothing. */
const SLACK_MS = 60_000;

/** Exits with 3 and a plain sentence when something cannot be made ready. Says nothing when all is ready. */
export function prepare() {
  checkNode();
  if (!needsInstall() && !needsBuild()) return;
  const release = lock();
  try {
    if (needsInstall()) install();
    if (needsBuild()) build();
  } finally {
    release();
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1])) return;
  fail(`Pilotlight needs Node ${NODE_NEEDED.join(".")} or later; this is ${process.versions.node}. See https://nodejs.org/en/download`);
}

function needsInstall() {
  const wanted = join(ROOT, "package-lock.json");
  const installed = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return true;
  const stamp = installStamp();
  if (existsSync(stamp)) return readFileSync(stamp, "utf8") !== hashOf(wanted);
  return statSync(wanted).mtimeMs > statSync(installed).mtimeMs + SLACK_MS;
}

const installStamp = () => join(ROOT, "node_modules", ".pilotlight");
const hashOf = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

function install() {
  // npm ci empties the directory: through a link it would empty another checkout's.
  if (lstatSync(join(ROOT, "node_modules"), { throwIfNoEntry: false })?.isSymbolicLink())
    fail("node_modules is a link and does not fit package-lock.json; run npm ci where it leads to, or remove the link");
  say("installing packages (npm ci)");
  run(
    process.platform === "win32" ? "npm.cmd" : "npm",
    ["ci", "--no-audit", "--no-fund", "--loglevel=error"],
    "npm ci failed; is an npm registry reachable?",
  );
  writeFileSync(installStamp(), hashOf(join(ROOT, "package-lock.json")));
}

function needsBuild() {
  if (!existsSync(STAMP) || !existsSync(join(BUNDLE, "main.js"))) return true;
  const built = statSync(STAMP).mtimeMs;
  for (const file of ["tsconfig.json", "package-lock.json"]) if (statSync(join(ROOT, file)).mtimeMs > built) return true;
  return SOURCES.some((directory) => newerThan(join(ROOT, directory), built));
}

/** A removed file shows in the time of its directory. */
function newerThan(path, time) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (!stat.isDirectory()) return path.endsWith(".ts") && stat.mtimeMs > time;
  return stat.mtimeMs > time || readdirSync(path).some((name) => newerThan(join(path, name), time));
}

function build() {
  say("building");
  // A file that is written while the compiler runs must count as newer than the build.
  const began = new Date();
  run(process.execPath, [join(ROOT, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.json"], "the build failed");
  removeOrphans(join(ROOT, "dist"), ROOT);
  run(process.execPath, [join(ROOT, "scripts", "bundle.mjs")], "the commands could not be bundled");
  writeFileSync(STAMP, began.toISOString());
}

/** What was compiled from a file that is no more would still be run as a test. */
function removeOrphans(built, source) {
  for (const entry of readdirSync(built, { withFileTypes: true })) {
    const path = join(built, entry.name);
    if (path === BUNDLE) continue;
    if (entry.isDirectory()) removeOrphans(path, join(source, entry.name));
    else if (entry.name.endsWith(".js") && !existsSync(join(source, entry.name.replace(/\.js$/, ".ts")))) {
      rmSync(path);
      rmSync(`${path}.map`, { force: true });
    }
  }
}

function lock() {
  mkdirSync(dirname(LOCK), { recursive: true });
  const end = Date.now() + LOCK_WAIT_MS;
  for (;;) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: "wx" });
      return () => rmSync(LOCK, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (!holderLives()) rmSync(LOCK, { force: true });
    else if (Date.now() > end) fail(`another process has been preparing this checkout for too long; if not, remove ${LOCK}`);
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

function holderLives() {
  try {
    const text = readFileSync(LOCK, "utf8");
    // Empty: its maker is between making and writing it, unless it died there.
    if (text === "") return Date.now() - statSync(LOCK).mtimeMs < 5_000;
    process.kill(Number(text), 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function run(program, words, complaint) {
  // stdout belongs to the command that is being prepared for.
  const { status, error } = spawnSync(program, words, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  rmSync(LOCK, { force: true });
  fail(error === undefined ? complaint : `${complaint}: ${error.message}`);
}

function say(sentence) {
  process.stderr.write(`pilotlight: ${sentence} …\n`);
}

function fail(sentence) {
  process.stderr.write(`pilotlight: ${sentence}\n`);
  process.exit(3);
}
