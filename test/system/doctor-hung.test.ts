/** `pilot doctor` on a platform of which a host hangs, and no watchdog ends it: it is named within seconds, whenever it began to hang. */
import { fileURLToPath } from "node:url";
import anyTest, { type ExecutionContext, type TestFn } from "ava";
import { canaries } from "../../cli/canary.ts";
import { watchPresence } from "../../nodes/io/presence.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { inspectNode } from "../../protocol/messages/inspect.ts";
import { listAccounts, listFunctions } from "../../protocol/messages/registry.ts";
import { DOCTOR_ACCOUNT } from "../../protocol/names.ts";
import { PATIENCE_MS } from "../support/faults.ts";
import { type Platform, startPlatform } from "../support/platform.ts";
import { runCli } from "../support/run-cli.ts";
import { until } from "../support/until.ts";

const test = anyTest.serial as unknown as TestFn<never>;
interface Row {
  readonly check: string;
  readonly verdict: string;
  readonly detail: string;
}
let platform: Platform;

test.before(async (t) => {
  t.timeout(2 * PATIENCE_MS);
  const unwatched = fileURLToPath(new URL("../support/unwatched-node.js", import.meta.url));
  const real = (role: string): string => fileURLToPath(new URL(`../../nodes/${role}.js`, import.meta.url));
  platform = await startPlatform({
    hosts: 2,
    warm: { node: 1, python: 0 },
    entry: (role) => (role === "host" ? unwatched : real(role)),
  });
});
test.after.always(() => platform?.stop());

/** Stops host-2; when the test is over it goes on, finds that it was declared lost, and is started anew. */
async function hang(t: ExecutionContext<never>): Promise<void> {
  const { pid } = (await platform.operator.bus.ask(inspectNode, ["host-2"], {})).process;
  process.kill(pid, "SIGSTOP");
  t.teardown(async () => {
    process.kill(pid, "SIGCONT");
    const other = async () => (await platform.operator.bus.ask(inspectNode, ["host-2"], {})).process.pid;
    await until(async () => (await other()) !== pid && (await platform.fleet()).hosts.length === 2, "the host's return", PATIENCE_MS);
  });
}

async function doctor(t: ExecutionContext<never>): Promise<Row[]> {
  const began = performance.now();
  const run = await runCli(["doctor", "--json", "--context", platform.running.context], { env: { HOME: "/nonexistent" } });
  const tookMs = Math.round(performance.now() - began);
  t.is(run.code, 3, run.stderr);
  const { findings } = JSON.parse(run.stdout) as { findings: Row[] };
  t.log(
    `seen: ${tookMs} ms`,
    findings.filter((row) => row.check.startsWith("host-2") && row.verdict !== "ok").map((row) => row.detail),
  );
  t.true(tookMs < LIMITS.doctorAll.value + 2 * LIMITS.control.value, `${tookMs} ms`);
  return findings;
}

/** What is said of host-2, which must be bad; and that all else was looked at, and is well. */
function named(t: ExecutionContext<never>, findings: readonly Row[]): string {
  const bad = findings.filter((row) => row.verdict === "fail");
  t.true(bad.length > 0 && bad.every((row) => row.check.startsWith("host-2")), JSON.stringify(bad));
  for (const check of ["host-1 runs node", "host-1 runs python", "frontend-1 passes on", "scheduler-1 keeps", "canary node keeper"])
    t.is(findings.find((row) => row.check === check)?.verdict, "ok", check);
  return bad.map((row) => row.detail).join("; ");
}

test("a host that hangs before doctor begins, and is counted among the living, is named", async (t) => {
  t.timeout(4 * PATIENCE_MS);
  await hang(t);
  t.regex(named(t, await doctor(t)), /does not answer, though|was declared lost/);
});

test("a host that hangs for so long that it was declared lost is named all the same", async (t) => {
  t.timeout(4 * PATIENCE_MS);
  await hang(t);
  await until(async () => !(await platform.fleet()).nodes.some(({ id }) => id === "host-2"), "the loss of the host", PATIENCE_MS);
  t.regex(named(t, await doctor(t)), /was declared lost .* ago, and has not come back/);
});

test("a host that begins to hang while doctor looks is named by its silence, not after the time that a check may take", async (t) => {
  t.timeout(4 * PATIENCE_MS);
  const looking = doctor(t);
  const { bus } = platform.operator;
  await until(async () => (await bus.ask(listFunctions, [], { account: DOCTOR_ACCOUNT })).functions.length > 0, "a canary", PATIENCE_MS);
  await hang(t);
  t.regex(named(t, await looking), /has been silent for/);
});

test("when its time in all is over, doctor says what it has not looked at, and leaves nothing behind", async (t) => {
  t.timeout(4 * PATIENCE_MS);
  const { hosts } = await platform.fleet();
  const patient = { hosts, frontends: ["frontend-1"], schedulers: ["scheduler-1"], gateways: [], direct: true };
  const presence = watchPresence(platform.operator);
  t.teardown(() => presence.close());
  const findings = await canaries(platform.operator, patient, presence, new AbortController().signal, 500);
  t.is(findings.find((row) => row.check === "scheduler-1 keeps")?.verdict, "ok");
  t.like(findings.at(-1), { check: "doctor", verdict: "fail", detail: "its time of 0.5 s is over: what is not listed was not looked at" });
  const { accounts } = await platform.operator.bus.ask(listAccounts, [], {});
  t.false(accounts.some(({ name }) => name === DOCTOR_ACCOUNT));
});
