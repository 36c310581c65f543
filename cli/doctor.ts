/** What `pilot doctor` looks at: each check gives rows with a verdict and, unless it is well, what to do. */
import type { BrokerView, Edge, ServiceView } from "../nodes/io/probe.ts";
import { LIMITS } from "../protocol/limits.ts";
import { PROTOCOL, understands } from "../protocol/version.ts";
import { type Finding, fail, ok, type Verdict, warn } from "./examine/finding.ts";
import type { Host } from "./fleet.ts";

/** The broker itself. `origin`: where the connection came from; `program`: where its nats-server came from, when it runs here. */
export function judgeBroker(view: BrokerView, origin: string, program?: string): Finding[] {
  const found = [ok("connection", `${view.url}, by ${origin}; round trip ${view.roundTripMs} ms`)];
  found.push(
    view.features.dropsHungClients
      ? ok("broker", `nats-server ${view.version}, ${program === undefined ? "not started by a pilot up of this user" : `from ${program}`}`)
      : warn(
          "broker",
          `nats-server ${view.version}: reduced; a hung host may keep calls, so hosts do not answer directly`,
          "use nats-server 2.10 or later; 2.14 is the reference",
        ),
  );
  if (view.maxPayload < LIMITS.brokerPayload.value) {
    found.push(
      warn(
        "payload",
        `the broker takes messages of ${view.maxPayload} bytes`,
        `set max_payload: ${LIMITS.brokerPayload.value} in its configuration`,
      ),
    );
  }
  const { jetstream } = view;
  found.push(
    "missing" in jetstream
      ? fail("jetstream", `does not answer: ${jetstream.missing}`, "start nats-server with jetstream enabled, and connect as the operator")
      : ok("jetstream", `${jetstream.streams} streams, ${jetstream.bytes} bytes`),
  );
  return found;
}

/** What callers without a credential may do. `ours`: a pilot up of this machine started the server. */
export function judgeEdge(edge: Edge, ours: boolean): Finding {
  if (edge === "unknown")
    return warn(
      "edge",
      "what callers without a credential may do was not seen: no connection came about",
      "ask the server with another client that gives no credential",
    );
  if (edge === "internal")
    return fail(
      "edge",
      "whoever reaches the broker may hear and send what nodes say to each other",
      "give the server the users that pilot permissions prints, or let nobody in without a credential",
    );
  const open = edge === "public" ? "who gives no credential reaches public subjects only" : "nobody is let in without a credential";
  return ok("edge", ours ? open : `${open}; what each credential may do is the server's own configuration (pilot permissions)`);
}

/** Whether every role answers `$SRV.PING`, with how many nodes. */
export function judgeRoles(services: readonly ServiceView[], nodes: readonly { readonly role: string; readonly id: string }[]): Finding[] {
  // A gateway is there only where one is wished.
  const gateway = nodes.some((node) => node.role === "gateway") || services.some((service) => service.name === "pilot-gateway");
  return ["scheduler", "frontend", "host", ...(gateway ? ["gateway"] : [])].map((role) => {
    const answering = services.filter((service) => service.name === `pilot-${role}`).map((service) => service.node || service.id);
    const known = nodes.filter((node) => node.role === role).map((node) => node.id);
    const all = [...new Set([...answering, ...known])].sort();
    if (all.length > 0) return ok(role, all.join(", "));
    return fail(role, `no ${role} answers`, "start one: pilot up or pilot node run; or look at the logs of the node in <store>/logs");
  });
}

/** Nodes of another protocol: a neighbouring one is understood (decision 0022), one that is farther off need not be. */
export function judgeProtocols(services: readonly ServiceView[]): Finding[] {
  const others = services.filter(({ protocol }) => protocol !== PROTOCOL);
  if (others.length === 0)
    return services.length === 0 ? [] : [ok("protocol", `all nodes speak protocol ${PROTOCOL}, as this command does`)];
  const said = others.map(({ node, protocol }) => `${node} speaks protocol ${protocol}`).join(", ");
  const detail = `${said}; this command ${PROTOCOL}`;
  return others.every(({ protocol }) => understands(protocol))
    ? [warn("protocol", detail, "finish the upgrade; what is new works when all nodes have it")]
    : [fail("protocol", detail, "they may refuse each other's messages: replace the oldest nodes, one release after the other")];
}

/** Isolation and runtimes of each host. */
export function judgeHost(host: Host): Finding[] {
  const { kind, cgroups, gaps, network } = host.isolation;
  const level = `${kind}, cgroups ${cgroups}${host.isolation.seccomp ? ", seccomp" : ""}${host.isolation.ownUid ? ", own uid" : ""}`;
  const runtimes = Object.entries(host.runtimes).map(([name, version]) => (version.startsWith(name) ? version : `${name} ${version}`));
  return [
    ok(`${host.id} isolation`, level),
    ...(network === "own" ? [ok(`${host.id} network`, "with --network: outside only, neither the broker nor this machine")] : []),
    ...gaps.map((gap) => warn(`${host.id} gap`, gap, gapAdvice(kind, gap))),
    runtimes.length === 0
      ? fail(`${host.id} runtimes`, "none", "see the log of the host: no runtime could be started")
      : ok(`${host.id} runtimes`, runtimes.join(", ")),
    ...(host.draining ? [warn(`${host.id} state`, "is draining and takes nothing new", "wait until it is gone, or start it again")] : []),
  ];
}

/** Hosts that are not there as they should be: `silent` are counted among the living, `lost` were declared lost and have not come back. */
export function judgeSilent(silent: readonly string[], lost: readonly { readonly id: string; readonly agoMs: number }[]): Finding[] {
  return [
    ...silent
      .filter((id) => !lost.some((one) => one.id === id))
      .map((id) => fail(id, "does not answer, though it announced itself a moment ago: it hangs, or has just died", endIt(id))),
    ...lost.map(({ id, agoMs }) =>
      fail(id, `was declared lost ${seconds(agoMs)} ago, and has not come back: it hangs, is cut off, or has died`, endIt(id)),
    ),
  ];
}

const endIt = (host: string): string => `see the log of ${host}; end its process if it hangs, and it is started again`;
const seconds = (ms: number): string => `${Math.max(1, Math.round(ms / 1_000))} s`;

function gapAdvice(kind: string, gap: string): string {
  if (kind !== "process" && gap.includes("--network"))
    return "install or allow what the gap names and start the host again; nothing else needs it";
  if (kind === "process") return "install bubblewrap (apt install bubblewrap) and start again; run only trusted code until then";
  return "run the host with the rights that the gaps name, or run only trusted code";
}

export function worst(findings: readonly Finding[]): Verdict {
  if (findings.some((row) => row.verdict === "fail")) return "fail";
  return findings.some((row) => row.verdict === "warn") ? "warn" : "ok";
}
