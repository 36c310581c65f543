/** Ports of the loopback that are free now. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** All different: they are held together and let go together. Another program may take one before it is used. */
export async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer().listen({ port: 0, host: "127.0.0.1", exclusive: true }));
  await Promise.all(probes.map((probe) => once(probe, "listening")));
  const ports = probes.map((probe) => (probe.address() as AddressInfo).port);
  await Promise.all(probes.map((probe) => once(probe.close(), "close")));
  return ports;
}
