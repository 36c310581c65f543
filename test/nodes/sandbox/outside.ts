/** A piece of the outside: a network namespace behind a pair of devices, with a TCP server on two addresses and a name server. Root only. */
import { execFileSync, spawn } from "node:child_process";
import type { ExecutionContext } from "ava";
import { missingForNetwork } from "../../../nodes/io/sandbox/network.ts";

/** What one of the names resolves to, and the server's answer to whoever connects. */
const NAME = "function.example";
const GREETING = "from outside";

const SERVER = `
const [address] = process.argv.slice(1);
const tcp = require("net").createServer((socket) => socket.on("error", () => {}).end(${JSON.stringify(GREETING)}));
const udp = require("dgram").createSocket("udp4");
udp.on("message", (query, from) => {
  const end = query.indexOf(0, 12) + 5;
  const isAddress = query.readUInt16BE(end - 4) === 1;
  const name = query.subarray(12, end - 4).toString("latin1").replace(/[\\x00-\\x1f]/g, ".");
  const known = name.includes(${JSON.stringify(NAME)});
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(known ? 0x8580 : 0x8583, 2);
  head.writeUInt16BE(known && isAddress ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)]);
  udp.send(Buffer.concat([head, query.subarray(12, end), ...(known && isAddress ? [answer] : [])]), from.port, from.address);
});
udp.bind(53, address, () => tcp.listen(7777, "0.0.0.0", () => console.log("ready")));
`;

export interface Outside {
  /** Of this machine, on the way there. */
  readonly near: string;
  /** Of the server. */
  readonly far: string;
  /** Another one of the same server. */
  readonly second: string;
  readonly port: number;
  readonly name: string;
  readonly greeting: string;
}

/** Why there can be none here; undefined when there can. */
export function noOutside(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "only root can make the outside";
  return missingForNetwork();
}

let count = 0;

/** Throws when the devices cannot be made. Everything of it goes with the test. */
export async function openOutside(t: ExecutionContext): Promise<Outside> {
  const ip = (...words: string[]): void => void execFileSync("ip", words, { stdio: "pipe" });
  count += 1;
  const mark = `${process.pid}${String.fromCharCode(96 + count)}`;
  const net = `10.${100 + (process.pid % 100)}.${((process.pid >> 8) + count) % 250}`;
  const [near, far, second] = [`${net}.1`, `${net}.2`, `${net}.3`];
  const space = `pilot-out-${mark}`;
  const [here, there] = [`po${mark}0`, `po${mark}1`];
  ip("netns", "add", space);
  t.teardown(() => ip("netns", "del", space));
  ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space);
  // Going with its namespace may take the kernel a while.
  t.teardown(() => ip("link", "del", here));
  ip("addr", "add", `${near}/24`, "dev", here);
  ip("link", "set", here, "up");
  for (const address of [far, second]) ip("-n", space, "addr", "add", `${address}/24`, "dev", there);
  ip("-n", space, "link", "set", there, "up");
  const server = spawn("ip", ["netns", "exec", space, process.execPath, "-e", SERVER, far], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = new Promise<void>((resolve) => server.once("exit", () => resolve()));
  t.teardown(async () => {
    server.kill("SIGKILL");
    await gone;
  });
  await new Promise<void>((resolve, reject) => {
    server.stdout.once("data", () => resolve());
    void gone.then(() => reject(new Error("the server outside ended")));
  });
  return { near, far, second, port: 7777, name: NAME, greeting: GREETING };
}
