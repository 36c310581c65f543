/** Is this port of the loopback free? */
import { createServer } from "node:net";

/** The port itself when it can be listened on now, else 0, which lets the server choose. */
export function freePort(wanted: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(0));
    probe.listen({ port: wanted, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(wanted)));
  });
}
