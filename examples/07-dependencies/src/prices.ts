// A directory is deployed by its package.json. All that the entry imports becomes one file: own modules, JSON, and
// packages of node_modules, which need not exist on any host.

import rates from "./rates.json";
import { round } from "./round.ts";

export const handler = async (event: { amount: number; to: keyof typeof rates }): Promise<{ amount: number }> => {
  const rate = rates[event.to];
  if (rate === undefined) throw new RangeError(`no rate for ${event.to}; known are ${Object.keys(rates).join(", ")}`);
  return { amount: round(event.amount * rate) };
};
