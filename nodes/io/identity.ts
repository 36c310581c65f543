/**
 * One id, one node: two with the same id would both run what is sent to it.
 *
 * I1  A node that finds a living one of its id does not start. One that is dead or hung delays it by LIMITS.idAnswer at most.
 * I2  Of two that live all the same (they began at once, or one was hung) the younger, each by its own clock, ends.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Log } from "../../actors/kit/ports.ts";
import { decode, encode } from "../../protocol/codec.ts";
import { Fault } from "../../protocol/errors.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { whoIs } from "../../protocol/messages/node.ts";
import type { NodeRole } from "../../protocol/subjects.ts";
import { VERSION } from "../../protocol/version.ts";
import { systemClock } from "./clock.ts";
import { flushed } from "./flushed.ts";
import type { Connected } from "./nats.ts";

/** Ages that differ by less are alike, since a message takes its time: then the ids of the lives decide, for both sides in the same way. */
const ALIKE_MS = 1_000;

type Who = ReturnType<typeof whoIs.reply.parse>;

/**
 * Makes sure of the id, and answers for it until the connection closes; `stop` ends only the telling. Rejects with Fault Conflict when a living node has it; `taken` is told the
 * same when an older one shows itself later.
 */
export async function claimId(
  { bus, nc }: Connected,
  { role, node }: { readonly role: NodeRole; readonly node: string },
  log: Log,
  taken: (fault: Fault) => void,
): Promise<{ stop(): void }> {
  const life = randomBytes(9).toString("hex");
  const bornAt = performance.now();
  const ageMs = (): number => performance.now() - bornAt;

  const other = await bus.ask(whoIs, [node], { life, ageMs: 0 }, LIMITS.idAnswer.value).catch((thrown: unknown) => {
    const { name } = Fault.from(thrown);
    // Nobody is there, or it says nothing.
    if (name === "Unavailable") return undefined;
    if (name !== "NotAllowed") return {};
    log.warn("it cannot be made sure that no other node has this id: the credential does not permit to ask", { id: node });
    return undefined;
  });
  if (other !== undefined) throw conflict(node, other);

  const isOlder = (theirs: string, age: number): boolean => {
    const difference = age - ageMs();
    return Math.abs(difference) > ALIKE_MS ? difference > 0 : theirs < life;
  };
  // No queue group, in which only one of several with the id would hear it.
  bus.listen(whoIs.subject(node), {}, ({ body, reply }) => {
    const asking = whoIs.request.parse(decode(body));
    if (reply === "") {
      if (asking.life !== undefined && asking.life !== life && isOlder(asking.life, asking.ageMs ?? 0)) taken(conflict(node, {}));
      return;
    }
    // Who asks has not begun: it is the younger one, however short a time this one has lived.
    const who: Who = {
      node,
      role,
      life,
      ageMs: ageMs(),
      version: VERSION,
      machine: hostname().slice(0, 256),
      pid: process.pid,
      server: nc.info?.server_name ?? "",
      address: nc.isClosed() ? "" : nc.getServer(),
    };
    bus.send(reply, encode(who));
  });
  const tell = (): void => bus.send(whoIs.subject(node), encode({ life, ageMs: ageMs() }));
  tell();
  // Whoever asks from now on is heard: the broker knows the subscription.
  await flushed(nc);
  const timer = systemClock.every(LIMITS.idAgain.value, tell);
  return { stop: () => timer.cancel() };
}

function conflict(node: string, { machine, pid }: Partial<Pick<Who, "machine" | "pid">>): Fault {
  const where = machine === undefined ? "" : ` on ${machine}, process ${pid}`;
  return new Fault("Conflict", `another node has the id ${node}${where}`, { id: node });
}
