/** The proof that a sandbox works: one blank box is really run, and looked at from outside. */

import { readFileSync } from "node:fs";
import type { Isolation } from "../../../actors/instance/sandbox.ts";
import { Fault } from "../../../protocol/errors.ts";
import { isFull } from "../full-disk.ts";
import { Box, Fork } from "./body.ts";
import { noNetwork } from "./gaps.ts";
import type { HostSandbox } from "./host-sandbox.ts";
import { lookAt, type Seen } from "./seen.ts";

const INSTANCE = "probe";

/** Puts what was seen in place of what was meant in the sandbox's isolation. Throws BootFailed when a box does not boot. */
export async function probe(sandbox: HostSandbox): Promise<void> {
  try {
    const { container, body } = await sandbox.startBody(
      { instance: INSTANCE, container: "probe", runtime: "node", instanceMb: 512, network: false },
      true,
    );
    const pid = body instanceof Box || body instanceof Fork ? body.pid : undefined;
    const seen = pid === undefined ? undefined : lookAt(pid);
    await container.stop();
    if (seen !== undefined) sandbox.isolation = corrected(sandbox.isolation, seen, process.getuid?.());
    if (sandbox.isolation.network === "own") await probeNetwork(sandbox);
  } finally {
    await sandbox.remove(INSTANCE);
  }
}

/** Really makes one box with a network. Where that fails, or shows no closed route, this host offers none and says why. */
async function probeNetwork(sandbox: HostSandbox): Promise<void> {
  const instance = `${INSTANCE}-network`;
  try {
    const order = { instance, container: "probe", runtime: "node", instanceMb: 512, network: true } as const;
    const { container, body } = await sandbox.startBody(order, true);
    const pid = body instanceof Box ? body.pid : undefined;
    const routes = pid === undefined ? "" : readFileSync(`/proc/${pid}/net/route`, "latin1");
    const own = pid !== undefined && lookAt(pid)?.shared.length === 0;
    await container.stop();
    if (!own || !CLOSED_LINK.test(routes)) throw new Fault("BootFailed", "a box that was looked at is not closed off");
  } catch (error) {
    if (isFull(error)) throw error;
    const { isolation } = sandbox;
    const why = Fault.from(error).message.replace(/\.$/, "");
    sandbox.isolation = { ...isolation, network: "none", gaps: [...isolation.gaps, noNetwork(why)] };
  } finally {
    await sandbox.remove(instance);
  }
}

/** The row of 169.254.0.0 as the kernel prints it: no device, and the flag of a route that leads nowhere (0x0200). */
const CLOSED_LINK = /^\*\t(0000FEA9|A9FE0000)\t0{8}\t02/m;

/** `meant`, less what was not seen. Pure. */
export function corrected(meant: Isolation, seen: Seen, agentUid: number | undefined): Isolation {
  const gaps = [...meant.gaps];
  const missing = (is: boolean, sentence: string): boolean => {
    if (is) gaps.push(sentence);
    return is;
  };
  const boxed = meant.namespaces;
  const open = missing(boxed && seen.shared.length > 0, `A box that was looked at shares with the host: ${seen.shared.join(", ")}.`);
  missing(boxed && !seen.noNewPrivileges, "A box that was looked at could gain rights: no-new-privileges is not set.");
  missing(boxed && seen.capabilities, "A box that was looked at has capabilities.");
  const unfiltered = missing(meant.seccomp && !seen.seccomp, "A box that was looked at runs without its system call filter.");
  const sameUser = missing(meant.ownUid && seen.uid === agentUid, "A box that was looked at runs as the agent's own user.");
  const ungrouped = missing(
    meant.cgroups !== "none" && !seen.groups.some((path) => path.endsWith(`/${INSTANCE}/probe`)),
    "A box that was looked at is not in its control group.",
  );
  return {
    kind: meant.kind,
    namespaces: boxed && !open,
    seccomp: meant.seccomp && !unfiltered,
    cgroups: ungrouped ? "none" : meant.cgroups,
    ownUid: meant.ownUid && !sameUser,
    network: meant.network,
    gaps,
  };
}
