/** The only import of pino: one logger per process, NDJSON on stdout. */
import { pino } from "pino";
import type { Log } from "../../actors/kit/ports.ts";

/** `level`: trace … fatal, as pino has them. */
export function openLog(role: string, node: string, level = "info"): Log {
  const logger = pino({ level, base: { role, node } }, pino.destination({ dest: 1, sync: true }));
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  };
}
