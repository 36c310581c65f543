/** How often each host with a grant subscribes the function's subject: the broker gives every subscription the same share of the calls. Pure. */

/**
 * Subscriptions per frontend over all hosts: frontends then get about 1/41 of a granted function's calls. A call that takes
 * the longer way occupies its caller for a multiple of the time, so that a tenth of the calls would halve the throughput.
 */
const WEIGHT = 40;
const MOST = 256;

/** By what the hosts have: `containers` of each that serve, at least one. */
export function sharesOf(containers: readonly number[], frontends: number): number[] {
  const all = containers.reduce((sum, count) => sum + count, 0);
  const total = WEIGHT * Math.max(1, frontends);
  return containers.map((count) => Math.min(MOST, Math.max(1, Math.ceil(count / 4), Math.round((total * count) / all))));
}

/** True where the difference is not worth an order of its own: containers come and go all the time. */
export function isNear(before: number, now: number): boolean {
  return Math.abs(now - before) <= Math.max(1, before / 4);
}
