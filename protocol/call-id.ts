/**
 * Call ids: nine characters of time (ms since 1970, base 36), then the id of the node's run and a counter.
 * Sortable by time, so that a record is found in the call log by its id alone.
 */

/** Makes the ids of one node; `run` is a random word that no other run of any node shares. */
export function callIds(run: string): (epochMs: number) => string {
  let count = 0;
  return (epochMs) => `${Math.floor(epochMs).toString(36).padStart(9, "0")}${run}${(count++).toString(36)}`;
}

/** Milliseconds since 1970 at which the call was received, or undefined for something that is no call id. */
export function timeOfCall(id: string): number | undefined {
  if (!/^[0-9a-z]{10,64}$/.test(id)) return undefined;
  return Number.parseInt(id.slice(0, 9), 36);
}
