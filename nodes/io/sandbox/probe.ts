/** The proof that a sandbox works: one blank box is really run. */
import type { Sandbox } from "../../../actors/instance/sandbox.ts";

const INSTANCE = "probe";

/** Throws BootFailed when a box does not boot. */
export async function probe(sandbox: Sandbox): Promise<void> {
  try {
    const container = await sandbox.start(
      { instance: INSTANCE, container: "probe", runtime: "node", instanceMb: 512, network: false },
      true,
    );
    await container.stop();
  } finally {
    await sandbox.remove(INSTANCE);
  }
}
