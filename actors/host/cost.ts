/** What a run cost, as far as the sandbox can tell; it may fail to: a figure is then missing, nothing more. */
import type { Call } from "./call.ts";
import type { Container } from "./container.ts";

/** Cpu time of the container so far in microseconds; -1 where it cannot be told. */
export function cpuOf(container: Container): number {
  try {
    return container.box.stats().cpuMicroseconds;
  } catch {
    return -1;
  }
}

/** Notes on a call that has just ended what its run cost, when cpu time was taken at its start. */
export function noteCost(container: Container, call: Call): void {
  if (container.cpuAtStart < 0) return;
  try {
    const stats = container.box.stats();
    call.memoryPeakBytes = Math.round(stats.memoryPeakBytes);
    call.cpuMicroseconds = Math.max(0, Math.round(stats.cpuMicroseconds - container.cpuAtStart));
  } catch {
    // Gone already: the figure is missing.
  }
}
