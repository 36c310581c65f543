/** Everything that a benchmark starts and must not leave behind, ended in reverse order, also when the user interrupts. */

const open: (() => Promise<void>)[] = [];

/** Registers `stop` and returns a function that runs it once; whoever comes first, the owner or `endAll`, does it. */
export function atEnd(stop: () => Promise<void>): () => Promise<void> {
  let ended: Promise<void> | undefined;
  const once = (): Promise<void> => {
    const at = open.indexOf(once);
    if (at >= 0) open.splice(at, 1);
    ended ??= stop();
    return ended;
  };
  open.push(once);
  return once;
}

/** Ends what is still open, the newest first. Never rejects. */
export async function endAll(): Promise<void> {
  for (let stop = open.pop(); stop !== undefined; stop = open.pop()) await stop().catch(() => undefined);
}
