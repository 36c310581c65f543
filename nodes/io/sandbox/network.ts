/**
 * Networks of boxes: which programs of the host make them, and what is closed to them at this moment.
 *
 * I1  A broker whose name cannot be looked up, and never could, leaves no box with a network: it could not be closed.
 */

import { lookup } from "node:dns/promises";
import { accessSync, constants, statSync } from "node:fs";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { within } from "../within.ts";
import { asUser, bornIn, type Place } from "./kind.ts";
import { type Reach, reachOf } from "./reach.ts";

export interface NetworkSettings {
  /** Every server of the broker that is known now, as `nats://host:port`, `host:port` or `host`. */
  readonly brokers: () => readonly string[];
  /** Another resolv.conf than the host's; where the agent is root. */
  readonly resolvConf?: string;
}

const PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const TUN = "/dev/net/tun";

/** What keeps boxes of this machine from having a network, as a sentence with its remedy; undefined when nothing does. */
export function missingForNetwork(): string | undefined {
  const wanted = { slirp4netns: "slirp4netns", ip: "iproute2", unshare: "util-linux" };
  const packages = Object.entries(wanted).filter(([program]) => !installed(program));
  if (packages.length > 0)
    return `${packages.map(([program]) => program).join(" and ")} not found (apt install ${packages.map(([, name]) => name).join(" ")})`;
  if (statSync(TUN, { throwIfNoEntry: false }) === undefined) return `${TUN} does not exist (modprobe tun)`;
  if (!openToOthers() && process.getuid?.() !== 0) return `${TUN} is closed to others (chmod 666 ${TUN})`;
  return undefined;
}

export class Network {
  readonly #settings: NetworkSettings;
  readonly #found = new Map<string, readonly string[]>();

  constructor(settings: NetworkSettings) {
    this.#settings = settings;
  }

  /** What a box that boots now may reach. Throws BootFailed. */
  async reach(): Promise<Reach> {
    const own = Object.values(networkInterfaces()).flatMap((rows) => (rows ?? []).map((row) => row.address));
    const brokers = await Promise.all([...new Set(this.#settings.brokers().map(hostOf))].map((host) => this.#addresses(host)));
    return reachOf([...own, ...brokers.flat()]);
  }

  /**
   * The command that joins a box to the outside: it waits for a line on fd 4 and ends when that closes; it says on fd 3
   * that the network is there. The box's pid and the name of its device are appended. Its rights are the box's own.
   */
  command(place: Place, doors: readonly string[], reach: Reach): string[] {
    const flags = ["--configure", "--mtu=65520", "--disable-host-loopback", `--cidr=${reach.cidr}`, "--enable-sandbox", "--enable-seccomp"];
    const begin = ["dash", "-c", 'read -r go <&4 && exec slirp4netns "$@"', "sh", ...flags, "--ready-fd=3", "--exit-fd=4"];
    return bornIn(doors, [...this.#ownFiles(), ...asUser(place.uid), ...begin]);
  }

  // Where the device is closed to others, as on machines without udev, the helper gets one of its own; it is never run as root for that.
  #ownFiles(): string[] {
    const { resolvConf } = this.#settings;
    const steps = [
      ...(openToOthers() ? [] : [`mount -t tmpfs none /dev/net && mknod -m 666 ${TUN} c 10 200`]),
      ...(resolvConf === undefined ? [] : ['mount --bind "$0" /etc/resolv.conf']),
    ];
    if (steps.length === 0) return [];
    return ["unshare", "--mount", "--", "dash", "-c", [...steps, 'exec "$@"'].join(" && "), resolvConf ?? "sh"];
  }

  async #addresses(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    try {
      // A boot that waits holds up others.
      const rows = await within(lookup(host, { all: true }), LIMITS.nameLookup.value, `${host} is not answered for`);
      this.#found.set(
        host,
        rows.map((row) => row.address),
      );
    } catch (error) {
      if (!this.#found.has(host))
        throw new Fault("BootFailed", `The broker's name ${host} is not known, so it cannot be closed to functions.`, undefined, error);
    }
    return this.#found.get(host) ?? [];
  }
}

/** The host of `nats://user@host:port`, `host:port`, `[::1]:port` or a bare address. */
export function hostOf(server: string): string {
  if (isIP(server) !== 0) return server;
  const url = server.includes("://") ? server.replace(/^[a-z]+:/i, "http:") : `http://${server}`;
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, "") : server;
}

function installed(program: string): boolean {
  return PATH.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function openToOthers(): boolean {
  return ((statSync(TUN, { throwIfNoEntry: false })?.mode ?? 0) & 0o006) === 0o006;
}
