/** Which nats-server a program is, and what that version can do. Features are looked up here, never assumed. */
import { execFile } from "node:child_process";
import { LIMITS } from "../../../protocol/limits.ts";

/** What differs between the servers that we support. */
export interface BrokerFeatures {
  /** `sync_interval` of JetStream can be set (2.10). */
  readonly syncInterval: boolean;
  /** Old log files are counted and removed (2.10). */
  readonly logCount: boolean;
  /** A hung client is dropped while messages are being sent to it (2.10 and later ping regardless). */
  readonly dropsHungClients: boolean;
}

/** What a server of this version can do. */
export function featuresOf(version: string): BrokerFeatures {
  const full = atLeast(version, "2.10.0");
  return { syncInterval: full, logCount: full, dropsHungClients: full };
}

/** Compares dotted numbers; a suffix such as `-RC.1` is ignored. Text that is no version is older than any. */
export function atLeast(version: string, wanted: string): boolean {
  const have = numbers(version);
  const want = numbers(wanted);
  for (let place = 0; place < 3; place += 1) {
    const difference = (have[place] ?? -1) - (want[place] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function numbers(version: string): number[] {
  const match = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version);
  return match === null ? [] : match.slice(1).map(Number);
}

/** Runs `<path> -v`. Undefined when it cannot be run, is no nats-server, or says nothing within the limit. */
export function versionOf(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: LIMITS.brokerProbe.value, killSignal: "SIGKILL" as const, env: {} };
    execFile(path, ["-v"], options, (error, stdout) => {
      const match = /^nats-server:\s+v(\d+\.\d+\.\d+\S*)/m.exec(stdout);
      resolve(error === null && match !== null ? match[1] : undefined);
    });
  });
}
