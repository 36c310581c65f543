/** Programs beside Node that the tests need: bubblewrap, python3, setpriv. On Debian as root they are installed, elsewhere named. */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Program and the Debian package that has it. */
const NEEDED = [
  ["bwrap", "bubblewrap"],
  ["python3", "python3"],
  ["setpriv", "util-linux"],
  ["tar", "tar"],
];

/** Installs what is missing where it can; otherwise says what to install, and goes on: tests that need it say so. */
export function ensurePrograms() {
  if (process.platform !== "linux") return;
  const missing = NEEDED.filter(([program]) => !isThere(program)).map(([, name]) => name);
  if (missing.length === 0) return;
  if (process.getuid?.() === 0 && isThere("apt-get")) {
    process.stderr.write(`pilotlight: installing ${missing.join(", ")} (apt-get) …\n`);
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const apt = (...words) => spawnSync("apt-get", words, { stdio: ["ignore", 2, 2], env: environment }).status === 0;
    const install = () => apt("install", "-y", "-qq", "--no-install-recommends", ...missing);
    if (install() || (apt("update", "-qq") && install())) return;
  }
  process.stderr.write(`pilotlight: missing: ${missing.join(", ")}. On Debian or Ubuntu: sudo apt-get install ${missing.join(" ")}\n`);
}

function isThere(program) {
  return (process.env.PATH ?? "").split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
