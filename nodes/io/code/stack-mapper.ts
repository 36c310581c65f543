/** Maps stacks of deployed code to the function's own source; keeps the maps used last. */
import { mapStack } from "./stack.ts";

/** Maps kept in memory. */
const KEPT = 64;

/** The mapper rejects never: without a map, or with a broken one, the stack stays as it is. */
export function openStackMapper(
  read: (digest: string) => Promise<Uint8Array | undefined>,
): (digest: string, stack: string) => Promise<string> {
  const maps = new Map<string, Promise<Uint8Array | undefined>>();
  return async (digest, stack) => {
    let reading = maps.get(digest);
    if (reading === undefined) {
      reading = read(digest).catch(() => undefined);
      maps.set(digest, reading);
      if (maps.size > KEPT) maps.delete(maps.keys().next().value as string);
    }
    const map = await reading;
    return map === undefined ? stack : mapStack(stack, map);
  };
}
