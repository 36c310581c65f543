/**
 * What a box with a network of its own can reach: everything outside, but neither the broker, nor this machine, nor
 * what lives on the link only. Pure: from addresses to the orders that `ip` carries out inside the box's namespace.
 *
 * I1  What is closed is closed by a route of its own before any code is there, and nobody inside may change routes.
 * I2  A socket that is bound to the device passes by the routes. It finds nobody all the same: whatever has no route
 *     is looked for on the link, where only the gateway and the resolver answer.
 */
import { BlockList, isIPv4 } from "node:net";
import { Fault } from "../../../protocol/errors.ts";

export interface Reach {
  /** The network between a box and its gateway. */
  readonly cidr: string;
  /** Where names are looked up; a forwarder to the host's own resolver. */
  readonly resolver: string;
  /** Input of `ip -batch`. */
  readonly orders: string;
}

/** Closed everywhere: the link (clouds tell secrets there), groups, and where clouds tell secrets elsewhere. */
const ALWAYS_CLOSED = ["169.254.0.0/16", "224.0.0.0/4", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"];

/** Networks of the gateway: the first that has no address in it which must be told apart. Nothing else is behind them. */
const LINKS = ["198.18.0.", "10.0.2.", "172.31.254.", "192.168.254."] as const;

/** `closed`: addresses of the broker and of this machine; those of version 6 need no route, for that is off. */
export function reachOf(closed: readonly string[]): Reach {
  const hosts = [...new Set(closed)].filter(isIPv4).filter((address) => !address.startsWith("127."));
  const link = LINKS.find((prefix) => !hosts.some((address) => address.startsWith(prefix)));
  if (link === undefined) throw new Fault("BootFailed", "Every network that a box could have for itself is in use on this machine.");
  const covered = new BlockList();
  for (const range of ALWAYS_CLOSED) {
    const [address = "", bits = ""] = range.split("/");
    covered.addSubnet(address, Number(bits));
  }
  const routes = [...ALWAYS_CLOSED, ...hosts.filter((address) => !covered.check(address)).map((address) => `${address}/32`)];
  return {
    cidr: `${link}0/24`,
    resolver: `${link}3`,
    orders: ["link set lo up", ...routes.map((range) => `route add prohibit ${range}`), ""].join("\n"),
  };
}
