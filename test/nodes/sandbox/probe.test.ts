/** What a probe makes of what it saw: a wall that is not up is never reported. */
import test from "ava";
import type { Isolation } from "../../../actors/instance/sandbox.ts";
import { corrected } from "../../../nodes/io/sandbox/probe.ts";
import { lookAt, type Seen } from "../../../nodes/io/sandbox/seen.ts";
import { openHostile } from "./hostile.ts";

const meant: Isolation = {
  kind: "bubblewrap",
  namespaces: true,
  seccomp: true,
  cgroups: "v1",
  ownUid: true,
  network: "own",
  gaps: ["known"],
};
const good: Seen = {
  shared: [],
  seccomp: true,
  noNewPrivileges: true,
  capabilities: false,
  uid: 1_900_000_001,
  groups: ["/", "/pilot/probe/probe"],
};

test("F100 what was meant and seen is reported as it was", (t) => {
  t.deepEqual(corrected(meant, good, 0), meant);
});

test("F100 each wall that is not seen is taken back, with a sentence", (t) => {
  const changes: readonly [Partial<Seen>, Partial<Isolation>][] = [
    [{ shared: ["pid"] }, { namespaces: false }],
    [{ seccomp: false }, { seccomp: false }],
    [{ noNewPrivileges: false }, {}],
    [{ capabilities: true }, {}],
    [{ uid: 0 }, { ownUid: false }],
    [{ groups: ["/"] }, { cgroups: "none" }],
  ];
  for (const [seen, isolation] of changes) {
    const { gaps, ...rest } = corrected(meant, { ...good, ...seen }, 0);
    const { gaps: _, ...expected } = { ...meant, ...isolation };
    t.deepEqual(rest, expected);
    t.is(gaps.length, 2, JSON.stringify(seen));
  }
});

test("F100 this very process is seen to be outside of any box", (t) => {
  if (process.platform !== "linux") t.pass();
  else t.deepEqual(lookAt(process.pid)?.shared, ["user", "pid", "mnt", "ipc", "uts", "net"]);
});

test("F100 a real box is seen to have all its walls", async (t) => {
  const { sandbox } = await openHostile("bubblewrap");
  t.teardown(() => sandbox.close());
  t.true(sandbox.isolation.seccomp && sandbox.isolation.namespaces);
  t.false(
    sandbox.isolation.gaps.some((gap) => gap.startsWith("A box that was looked at")),
    sandbox.isolation.gaps.join("\n"),
  );
});
