/** What must hold when a storm is over: one reply per call, one run, the right version, and nothing left over. */
import { LIMITS } from "../../protocol/limits.ts";
import type { Ledger, SimulatedCall } from "./ledger.ts";
import type { SimulatedNode } from "./node.ts";
import type { World } from "./world.ts";

/** A direct call younger than this when its host dies may get no answer; with a batch of reports and a message's delay. */
const YOUNG_MS = 300;
/** A node that was away for this long may have been declared lost: it had been heard a heartbeat before. */
const LOST_MS = LIMITS.hostSilence.value - LIMITS.nodeHeartbeat.value - 200;
/** The longest that a message is on its way. */
const WIRE_MS = 5;
/** What a report takes on its way. */
const BATCH_MS = 10;

export function judge(world: World, ledger: Ledger): string[] {
  const byConnection = new Map(world.lives.map((node) => [node.bus.name, node]));
  return [
    ...ledger.calls.flatMap((call) => judgeCall(call, ledger, byConnection)),
    ...leftOver(world),
    ...(world.leaders().length === 1 ? [] : [`${world.leaders().length} schedulers lead in the end`]),
    ...world.caught.map((thrown) => `thrown: ${thrown instanceof Error ? thrown.stack : String(thrown)}`),
    ...world.log
      .find("error")
      .filter(({ message }) => !message.includes("others declared it lost"))
      .map(({ message, fields }) => `logged: ${message} ${JSON.stringify(fields)}`),
  ];
}

function judgeCall(call: SimulatedCall, ledger: Ledger, byConnection: ReadonlyMap<string, SimulatedNode>): string[] {
  const problems: string[] = [];
  const troubled = troublesOf(call, byConnection);
  const said = (what: string) => `call ${call.n} (${call.name}, ${call.doing}) of ${call.sentAt} ms ${what}: ${story(call, troubled)}`;
  if (call.replies.length === 0 && !call.isNested && !mayBeLost(call, troubled, byConnection)) problems.push(said("got no reply"));
  if (call.replies.length > 1 && !mayBeTwo(call, troubled)) problems.push(said(`got ${call.replies.length} replies`));
  if (call.runs.length > 1 && !call.idempotent) problems.push(said(`ran ${call.runs.length} times`));
  const allowed = call.qualifier === undefined ? ledger.allowed(call) : new Set([Number(call.qualifier)]);
  for (const { version } of call.runs)
    if (allowed && !allowed.has(version)) problems.push(said(`was run by version ${version}, and only ${[...allowed].join(", ")} may`));
  return problems;
}

interface Troubled {
  readonly node: SimulatedNode;
  readonly kind: "kill" | "hang" | "cut";
  readonly at: number;
  readonly until: number;
}

/** What happened, in the call's life, to those that it met. */
function troublesOf(call: SimulatedCall, byConnection: ReadonlyMap<string, SimulatedNode>): Troubled[] {
  const met = new Set(call.went.flatMap(({ to }) => byConnection.get(to) ?? []));
  const end = Math.max(call.sentAt + 30_000, call.replies[0]?.at ?? 0);
  // What comes in the first moments after a gap cannot be told from what piled up before.
  return [...met].flatMap((node) =>
    node.troubles
      .filter(({ at, until }) => at <= end && until + LIMITS.pileUp.value >= call.sentAt)
      .map(({ kind, at, until }) => ({ node, kind, at, until })),
  );
}

/**
 * A node that was away for so long that others declared it lost may say what was said for it. A host that dies with the report
 * of an end untold is thought to have died in the run. Of a frontend that answered and died, its keeper does not know that it did.
 */
function mayBeTwo(call: SimulatedCall, troubled: readonly Troubled[]): boolean {
  const [first, second, ...more] = call.replies;
  if (first === undefined || second === undefined || more.length > 0) return false;
  if (troubled.some(({ kind, at, until }) => kind !== "kill" && until - at >= LOST_MS)) return true;
  return troubled.some(({ node, kind, at }) => {
    // An answer that was on its way when its sender died arrives after that.
    if (kind !== "kill" || at < first.at - WIRE_MS) return false;
    if (node.role === "host") return second.error === "InstanceLost" && at - first.at <= LIMITS.announceEvery.value + BATCH_MS;
    return node.role === "frontend" && first.error !== undefined && second.error !== undefined && at <= second.at;
  });
}

/**
 * What is on the wire to its first receiver is lost with that connection. Who received it may be gone before it told anybody; of
 * two that fail at once nobody may be left who knows of it.
 */
function mayBeLost(call: SimulatedCall, troubled: readonly Troubled[], byConnection: ReadonlyMap<string, SimulatedNode>): boolean {
  if (troubled.some((one, at) => troubled.slice(at + 1).some((other) => areAtOnce(one, other)))) return true;
  const [first] = call.went;
  if (first === undefined) return false;
  const receiver = byConnection.get(first.to);
  const latest = call.went.at(-1) ?? first;
  const last = byConnection.get(latest.to);
  const isNewcomer = last?.role === "frontend" || call.went.length === 1;
  if (isNewcomer && troubled.some(({ node, kind, at }) => node === last && kind === "cut" && Math.abs(at - latest.at) <= WIRE_MS))
    return true;
  // Nobody has it from the frontend yet: its keeper may have died just before.
  if (last?.role === "frontend") return troubled.some(({ node, kind }) => node === last && kind === "kill");
  if (receiver === undefined || receiver.role === "frontend") return false;
  // One that was away for so long ends when it is back.
  return troubled.some(
    ({ node, kind, at, until }) =>
      node === receiver && at - first.at <= YOUNG_MS && (kind === "kill" ? at >= first.at : until - at >= LOST_MS && until >= first.at),
  );
}

/** One fails before others have noticed that the other did. */
function areAtOnce(a: Troubled, b: Troubled): boolean {
  if (a.node === b.node) return false;
  const noticed = ({ at, until }: Troubled) =>
    Math.min(until + LIMITS.nodeHeartbeat.value, at + LIMITS.hostSilence.value + LIMITS.nodeHeartbeat.value);
  return a.at <= noticed(b) && b.at <= noticed(a);
}

function story(call: SimulatedCall, troubled: readonly Troubled[]): string {
  return JSON.stringify({
    went: call.went.map(({ to, subject, at }) => `${at} ${subject.replace("_pilot.", "")} → ${to}`),
    runs: call.runs.map(({ version, at }) => `${at} v${version}`),
    replies: call.replies.map(({ error, message, at }) => `${at} ${error ?? "ok"} ${message}`),
    troubled: troubled.map(({ node, kind, at }) => `${at} ${kind} ${node.bus.name}`),
  });
}

/** At rest nothing is held, and hosts have their warm pools and nothing else. */
function leftOver(world: World): string[] {
  const problems: string[] = [];
  for (const { node, frontend, scheduler, host, sandbox } of world.processes.values()) {
    const held = {
      ...(frontend && { held: frontend.counters()["held"], heldBytes: frontend.counters()["heldBytes"] }),
      ...scheduler?.held(),
      ...host?.held(),
    };
    for (const [what, count] of Object.entries(held)) if (count !== 0) problems.push(`${node.id} still has ${count} ${what}`);
    if (node.clock.pending > 40) problems.push(`${node.id} has ${node.clock.pending} timers`);
    if (!host || !sandbox) continue;
    const said = host.describe();
    const owned = said.instances.filter(({ state, account }) => state !== "warm" || account !== null);
    if (owned.length > 0) problems.push(`${node.id} still has instances: ${JSON.stringify(owned)}`);
    if (said.instances.length !== sandbox.containers.length)
      problems.push(`${node.id} has ${said.instances.length} instances, its sandbox ${sandbox.containers.length} containers`);
    if (said.usedMb !== said.instances.length * 32)
      problems.push(`${node.id} counts ${said.usedMb} MB as used by ${said.instances.length} warm instances`);
  }
  return problems;
}
