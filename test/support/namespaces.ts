/** Machines with a cable each, on one machine: network namespaces on a bridge, whose ports are cut and mended. Needs root and iproute2. */
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import type { ExecutionContext } from "ava";

export interface Network {
  /** Address of the namespace of this name. */
  addressOf(name: string): string;
  /** Nothing passes from or to it from now on, and nobody is told. */
  cut(name: string): void;
  heal(name: string): void;
}

/** Path of the namespace of a name. */
export const namespaceOf = (name: string): string => `/run/netns/pilot-${name}`;

const ip = (...words: readonly string[]): void => void execFileSync("ip", words, { stdio: ["ignore", "ignore", "pipe"] });

/** Why there can be none here; undefined where there can. */
export function noNamespaces(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "network namespaces need root";
  const name = `pilot-try-${process.pid}`;
  try {
    ip("netns", "add", name);
    ip("link", "add", `plt${process.pid}`, "type", "bridge");
    ip("link", "del", `plt${process.pid}`);
    execFileSync("nsenter", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch (thrown) {
    return `no network namespaces here: ${thrown instanceof Error ? thrown.message.split("\n").slice(0, 2).join(" ") : String(thrown)}`;
  } finally {
    try {
      ip("netns", "del", name);
    } catch {
      // It was not made.
    }
  }
}

/** Makes them; this process sits on the bridge. Gone with the test. */
export function openNetwork(t: ExecutionContext, names: readonly string[]): Network {
  const mark = randomInt(0x1000, 0xffff).toString(16);
  const net = `10.${randomInt(64, 128)}.${randomInt(1, 255)}`;
  const bridge = `plb${mark}`;
  const places = new Map(names.map((name, at) => [name, { address: `${net}.${at + 10}`, port: `pl${mark}p${at}` }]));
  const placeOf = (name: string) => {
    const place = places.get(name);
    if (place === undefined) throw new RangeError(`there is no ${name} in this network`);
    return place;
  };
  t.teardown(() => {
    for (const words of [...names.map((name) => ["netns", "del", `pilot-${name}`]), ["link", "del", bridge]]) {
      try {
        ip(...words);
      } catch {
        // It was not made.
      }
    }
  });
  ip("link", "add", bridge, "type", "bridge");
  ip("addr", "add", `${net}.1/24`, "dev", bridge);
  ip("link", "set", bridge, "up");
  for (const [name, { address, port }] of places) {
    const space = `pilot-${name}`;
    ip("netns", "add", space);
    ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space);
    ip("link", "set", port, "master", bridge, "up");
    ip("-n", space, "addr", "add", `${address}/24`, "dev", "eth0");
    ip("-n", space, "link", "set", "eth0", "up");
    ip("-n", space, "link", "set", "lo", "up");
  }
  return {
    addressOf: (name) => placeOf(name).address,
    // Taken from the bridge its link stays up: as far as those in there can tell, the network has gone silent.
    cut: (name) => ip("link", "set", placeOf(name).port, "nomaster"),
    heal: (name) => ip("link", "set", placeOf(name).port, "master", bridge),
  };
}
