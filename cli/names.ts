/** Names of what exists, for the shell's TAB. */
import type { Cli } from "./context.ts";
import { ask } from "./platform.ts";

/** Functions of all accounts whose names begin so; none when no platform answers. */
export async function functionNames(this: Cli, partial: string): Promise<readonly string[]> {
  try {
    const { functions } = await ask(this, {} as never, (all) => all.listFunctions, {});
    return [...new Set(functions.map(({ name }) => name))].filter((name) => name.startsWith(partial)).sort();
  } catch {
    return [];
  }
}
