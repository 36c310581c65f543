/** What a box with a network reaches, tried with real sockets against a piece of the outside that the test makes. */
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { Sandbox } from "../../../actors/instance/sandbox.ts";
import { hostOf, Network } from "../../../nodes/io/sandbox/network.ts";
import { processTable, treeOf } from "../../../nodes/io/sandbox/process-table.ts";
import { reachOf } from "../../../nodes/io/sandbox/reach.ts";
import { temporaryDirectory } from "../../support/temp.ts";
import { until } from "../../support/until.ts";
import { openHostile, processesWith, Victim } from "./hostile.ts";
import { noOutside, type Outside, openOutside } from "./outside.ts";

interface Given {
  readonly t: ExecutionContext;
  readonly sandbox: Sandbox;
  readonly directory: string;
  readonly outside: Outside;
}

/** Connects from inside; the greeting, or why not. Node cannot bind to a device, Python can. */
const dial = (address: string, port: number): string =>
  `return new Promise((resolve) => { let text = ""; const socket = createConnection({ host: ${JSON.stringify(address)}, port: ${port} }); socket.setTimeout(3000, () => { socket.destroy(); resolve("ETIMEDOUT"); }); socket.on("data", (chunk) => { text += chunk; }).on("end", () => resolve(text)).on("error", (error) => resolve(error.code ?? error.errors?.[0]?.code)); })`;
const CLOSED = /^(EACCES|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EINVAL|EADDRNOTAVAIL)$/;

async function listen(t: ExecutionContext): Promise<number> {
  const server = createServer((socket) => socket.on("error", () => {}).end("from this machine"));
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  t.teardown(() => server.close());
  return (server.address() as { port: number }).port;
}

const RULES: Record<string, (given: Given) => Promise<void>> = {
  async "reaches a server outside, by address and by name, in both languages"({ t, sandbox, outside }) {
    const node = await Victim.start(sandbox, "node", { network: true });
    t.is(await node.run(dial(outside.far, outside.port)), outside.greeting);
    t.is(await node.run(dial(outside.name, outside.port)), outside.greeting);
    t.is(((await node.run(`return require("dns/promises").lookup("nobody.invalid")`)) as { error: string }).error, "ENOTFOUND");
    const python = await Victim.start(sandbox, "python", { network: true });
    const code = (host: string): string =>
      `import socket\nwith socket.create_connection((${JSON.stringify(host)}, ${outside.port}), 5) as connection: value = connection.recv(99).decode()`;
    for (const host of [outside.far, outside.name]) t.is(await python.run(code(host)), outside.greeting);
  },

  async "reaches neither the broker nor this machine nor the link"({ t, sandbox, outside }) {
    const port = await listen(t);
    const victim = await Victim.start(sandbox, "node", { network: true });
    // The second address stands for a broker on another machine: only the address tells it from the first.
    t.regex((await victim.run(dial(outside.second, outside.port))) as string, CLOSED, "the broker");
    const own = Object.values(networkInterfaces()).flatMap((rows) => (rows ?? []).map((row) => row.address.split("%")[0] ?? ""));
    t.true(own.includes(outside.near));
    const gateways = ["198.18.0.1", "198.18.0.2", "198.18.0.3", "198.18.0.100"];
    for (const address of gateways) t.regex((await victim.run(dial(address, port))) as string, /^(E[A-Z]+)$/, address);
    for (const address of [...own, "localhost", "0.0.0.0", "::", "169.254.169.254", "168.63.129.16"])
      t.regex((await victim.run(dial(address, port))) as string, CLOSED, address);
    t.is(await victim.run(dial(outside.far, outside.port)), outside.greeting, "and it works all the same");
  },

  async "reaches them neither with sockets bound to the device nor by groups, and sends no raw packets"({ t, sandbox, outside }) {
    const port = await listen(t);
    const victim = await Victim.start(sandbox, "python", { network: true });
    const closed = [
      [outside.second, outside.port],
      [outside.near, port],
      ["127.0.0.1", port],
      ["198.18.0.2", port],
      ["198.18.0.3", port],
      ["169.254.169.254", 80],
    ];
    const bound = `import socket
def attempt(address, port):
  with socket.socket() as one:
    one.settimeout(1)
    one.setsockopt(socket.SOL_SOCKET, 25, b"tap0\\0")
    try: one.connect((address, port)); return "reached"
    except OSError as error: return type(error).__name__
value = [attempt(address, port) for address, port in ${JSON.stringify(closed)}]`;
    t.deepEqual(
      ((await victim.run(bound)) as string[]).filter((said) => said === "reached"),
      [],
    );
    t.is(
      await victim.run(`import socket
one = socket.socket()
one.settimeout(3)
one.setsockopt(socket.SOL_SOCKET, 25, b"tap0\\0")
one.connect((${JSON.stringify(outside.far)}, ${outside.port}))
value = one.recv(99).decode()`),
      outside.greeting,
      "such a socket does work outward, so the attempts above were real",
    );
    const raw = `import socket
value = []
for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (17, socket.SOCK_RAW), (17, socket.SOCK_DGRAM)):
  try: socket.socket(family, kind, 1); value.append("opened")
  except OSError as error: value.append(error.errno)`;
    t.deepEqual(await victim.run(raw), [1, 97, 97]);
  },

  async "cannot change its routes, devices or addresses"({ t, sandbox, outside }) {
    const victim = await Victim.start(sandbox, "python", { network: true });
    // Netlink, as ip(8) speaks it: RTM_DELROUTE of a closed host, RTM_NEWROUTE around it, RTM_NEWLINK.
    const code = `import socket, struct
def ask(kind, flags, body):
  with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
    link.bind((0, 0))
    link.send(struct.pack("=IHHII", 16 + len(body), kind, flags | 5, 1, 0) + body)
    return struct.unpack_from("=i", link.recv(4096), 16)[0]
host = socket.inet_aton(${JSON.stringify(outside.second)})
to = struct.pack("=HH4s", 8, 1, host)
way = struct.pack("=HH4s", 8, 5, socket.inet_aton("198.18.0.2"))
value = [
  ask(25, 0, struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, 0, 0) + to),
  ask(24, 0x400, struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 3, 0, 1, 0) + to + way),
  ask(16, 0, struct.pack("=BBHiII", 0, 0, 0, 2, 0, 1)),
]
try: open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w").write("0"); value.append("written")
except OSError as error: value.append(-error.errno)`;
    const [removed, added, device, written] = (await victim.run(code)) as [number, number, number, number];
    t.deepEqual([removed, added, device], [-1, -1, -1]);
    t.true([-1, -13, -30].includes(written), `${written}`);
    t.regex((await (await Victim.start(sandbox, "node", { network: true })).run(dial(outside.second, outside.port))) as string, CLOSED);
  },

  async "without --network has none, beside one that has"({ t, sandbox, outside }) {
    const [online, offline] = [await Victim.start(sandbox, "node", { network: true }), await Victim.start(sandbox, "node")];
    t.is(await online.run(dial(outside.far, outside.port)), outside.greeting);
    t.is(await offline.run(dial(outside.far, outside.port)), "ENETUNREACH");
    t.deepEqual(await offline.run(`return Object.keys(require("os").networkInterfaces()).filter((name) => name !== "lo")`), []);
  },

  async "has a helper of few rights, ends when that ends, and takes it along when it ends itself"({ t, sandbox, outside }) {
    const helpers = (): number[] =>
      treeOf(process.pid, processTable())
        .map((row) => row.pid)
        .filter((pid) => processesWith("--ready-fd=3").includes(pid));
    const victim = await Victim.start(sandbox, "node", { network: true });
    t.is(helpers().length, 1);
    for (const pid of helpers()) process.kill(pid, "SIGKILL");
    const end = await victim.ended;
    t.is(end.cause.kind, "signalled");
    const next = await Victim.start(sandbox, "node", { network: true });
    t.is(await next.run(dial(outside.far, outside.port)), outside.greeting);
    await next.container.stop();
    await until(() => helpers().length === 0, "the helper to be gone");
    t.pass();
  },
};

for (const kind of ["bubblewrap", "bubblewrap without groups"] as const) {
  for (const [rule, proof] of Object.entries(RULES)) {
    const title = `F100 ${kind}: a container with network ${rule}`;
    const excuse = noOutside();
    if (excuse !== undefined) {
      test.skip(`${title} (${excuse})`, () => {});
      continue;
    }
    test.serial(title, async (t) => {
      const outside = await openOutside(t);
      const resolvConf = join(await temporaryDirectory(t), "resolv.conf");
      writeFileSync(resolvConf, `nameserver ${outside.far}\n`);
      const { sandbox, directory } = await openHostile(kind, { network: { brokers: () => [`nats://${outside.second}:4222`], resolvConf } });
      t.teardown(() => sandbox.close());
      t.is(sandbox.isolation.network, "own", sandbox.isolation.gaps.join("\n"));
      await proof({ t, sandbox, directory, outside });
      await sandbox.close();
      t.deepEqual(processesWith(directory), []);
    });
  }
}

test("F100 what is closed is closed by a route each, once, and the box's own network is none that is in use", (t) => {
  const { cidr, resolver, orders } = reachOf(["198.18.0.9", "192.0.2.7", "192.0.2.7", "127.0.0.1", "169.254.1.1", "fe80::1", "::1"]);
  t.deepEqual([cidr, resolver], ["10.0.2.0/24", "10.0.2.3"]);
  const routes = orders.split("\n").filter((line) => line.startsWith("route"));
  t.is(new Set(routes).size, routes.length);
  for (const range of ["198.18.0.9/32", "192.0.2.7/32", "169.254.0.0/16"]) t.true(routes.includes(`route add prohibit ${range}`), range);
  t.false(orders.includes("127.0.0.1") || orders.includes("169.254.1.1") || orders.includes(":"));
  t.throws(() => reachOf(["198.18.0.1", "10.0.2.1", "172.31.254.1", "192.168.254.1"]), { name: "BootFailed" });
});

test("F100 brokers are closed by every way of writing them, and one whose name is not known leaves nobody a network", async (t) => {
  const ways = ["nats://user@192.0.2.9:4222", "192.0.2.9:4222", "192.0.2.9", "tls://192.0.2.9", "wss://192.0.2.9:443"];
  t.deepEqual([...new Set(ways.map(hostOf))], ["192.0.2.9"]);
  t.is(hostOf("nats://[fd00::9]:4222"), "fd00::9");
  t.true((await new Network({ brokers: () => ways }).reach()).orders.includes("prohibit 192.0.2.9/32"));
  await t.throwsAsync(new Network({ brokers: () => ["nats://broker.invalid:4222"] }).reach(), { name: "BootFailed" });
});

test("F100 a host without the programs refuses a container with network, says which are missing, and never lends its own", async (t) => {
  const { sandbox } = await openHostile("bubblewrap", { network: undefined });
  t.teardown(() => sandbox.close());
  t.is(sandbox.isolation.network, "none");
  t.regex(sandbox.isolation.gaps.join("\n"), /--network are refused/);
  await t.throwsAsync(Victim.start(sandbox, "node", { network: true }), { name: "ConfigurationUnavailable" });
});
