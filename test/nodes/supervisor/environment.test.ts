import test from "ava";
import fc from "fast-check";
import { type RoleEnvironment, readRoleEnvironment, roleEnvironment } from "../../../nodes/supervisor/role-environment.ts";
import { plainLine } from "../../../nodes/supervisor/speak.ts";
import { Fault } from "../../../protocol/errors.ts";
import { NODE_ROLES } from "../../../protocol/subjects.ts";

const text = fc.string({ minLength: 1 });
const environments: fc.Arbitrary<RoleEnvironment> = fc.record(
  {
    role: fc.constantFrom(...NODE_ROLES),
    node: text,
    context: text,
    store: text,
    logLevel: fc.constantFrom("debug", "info", "warn", "error"),
    sandbox: fc.constantFrom("auto" as const, "bubblewrap" as const, "process" as const),
    direct: fc.boolean(),
    warm: fc.record({ node: fc.nat(1_000), python: fc.nat(1_000) }, { requiredKeys: [] }),
    memoryMb: fc.integer({ min: 1, max: 999_999_999 }),
    http: text,
    httpTokenFile: text,
    metricsTokenFile: text,
    replicas: fc.integer({ min: 1, max: 5 }),
  },
  { requiredKeys: ["role", "node", "context", "store", "logLevel", "sandbox", "direct", "warm"] },
);

test("what the supervisor writes is what the node reads", (t) => {
  fc.assert(fc.property(environments, (settings) => t.deepEqual(readRoleEnvironment(roleEnvironment(settings)), { ...settings })));
});

test("a variable that is missing or makes no sense is named", (t) => {
  const good = { PILOT_ROLE: "host", PILOT_NODE: "host-1", PILOT_CONTEXT: "/c", PILOT_STORE: "/s" };
  t.is(readRoleEnvironment(good).sandbox, "auto");
  for (const [name, value] of [
    ["PILOT_ROLE", "king"],
    ["PILOT_NODE", ""],
    ["PILOT_SANDBOX", "none"],
    ["PILOT_DIRECT", "yes"],
    ["PILOT_WARM", "node=x"],
    ["PILOT_WARM", "perl=1"],
    ["PILOT_MEMORY", "0"],
    ["PILOT_MEMORY", "4GB"],
    ["PILOT_REPLICAS", "0"],
    ["PILOT_REPLICAS", "many"],
  ]) {
    t.throws(() => readRoleEnvironment({ ...good, [name as string]: value }), { instanceOf: Fault, message: new RegExp(name as string) });
  }
});

test("warnings and errors of a node are shown in words, the rest only when asked for", (t) => {
  t.is(plainLine("host-1", '{"level":30,"msg":"ready"}'), undefined);
  t.is(plainLine("host-1", '{"level":30,"msg":"ready"}', 0), "host-1: info: ready");
  t.is(plainLine("host-1", '{"level":40,"msg":"low","err":{"message":"on memory"}}'), "host-1: warning: low: on memory");
  t.is(plainLine("host-1", "Error: boom"), "host-1: Error: boom");
});

test("nothing that a log quotes can steer the terminal", (t) => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (hostile) => {
      for (const line of [hostile, JSON.stringify({ level: 50, msg: hostile })]) {
        const shown = plainLine("host-1", line, 0) ?? "";
        t.notRegex(shown, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      }
    }),
  );
});
