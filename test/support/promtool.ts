/** Prometheus' own check of its text format. PILOT_TEST_PROMTOOL names the program; without it tests that want it are skipped by name. */
import { spawnSync } from "node:child_process";

export const PROMTOOL = process.env["PILOT_TEST_PROMTOOL"] ?? "";

/** What `promtool check metrics` says against the text; "" when it has nothing against it. */
export function promtoolOn(text: string): string {
  const { status, stdout, stderr, error } = spawnSync(PROMTOOL, ["check", "metrics"], { input: text, encoding: "utf8" });
  if (error !== undefined) throw error;
  const said = `${stdout}${stderr}`.trim();
  return status === 0 ? said : `exit code ${status}: ${said}`;
}
