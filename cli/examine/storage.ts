/** What is wrong with what is stored in the broker: copies that are missing, that lag behind, or that nobody leads. */
import type { StreamView } from "../../nodes/io/streams.ts";
import { bytes } from "../output.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** Share of its bound from which a stream is said to be nearly full. */
const FULL = 0.9;
/** Entries by which a copy may be behind while it is written to. */
const LAG = 1_000;

/** One row when all is well, else one per stream that is not. */
export function judgeStorage(streams: readonly StreamView[]): Finding[] {
  if (streams.length === 0)
    return [fail("storage", "nothing of the platform is stored in this broker", "start a scheduler: it makes the buckets; see its log")];
  const found = streams.flatMap(judgeStream);
  const copies = [...new Set(streams.map(({ replicas }) => replicas))].sort();
  const total = streams.reduce((sum, stream) => sum + stream.bytes, 0);
  const isClustered = streams.some((stream) => stream.isClustered);
  const said = `${streams.length} streams, ${bytes(total)}, ${copies.join(" or ")} ${copies.length === 1 && copies[0] === 1 ? "copy" : "copies"} of each`;
  if (isClustered && copies[0] === 1)
    found.push(warn("storage copies", `${said}, on a cluster: the loss of one server loses what it has`, "give schedulers --replicas 3"));
  else if (found.length === 0) found.push(ok("storage", said));
  return found;
}

function judgeStream({ name, replicas, leader, followers, isClustered, bytes: used, limitBytes }: StreamView): Finding[] {
  const check = `storage ${name}`;
  const found: Finding[] = [];
  if (isClustered && leader === undefined)
    found.push(fail(check, "nobody leads it: it takes and gives nothing", "see that a majority of the servers with a copy runs"));
  const away = followers.filter(({ offline }) => offline);
  const behind = followers.filter(({ offline, current, lag }) => !offline && (!current || lag > LAG));
  const standing = followers.length + 1 - away.length;
  if (isClustered && replicas > 1 && (away.length > 0 || standing < replicas)) {
    const who = away.map((follower) => follower.name).join(", ");
    const detail = `${standing} of ${replicas} copies stand${who === "" ? "" : `; away: ${who}`}`;
    found.push(warn(check, detail, "start that server again; until then one more loss may stop the platform"));
  }
  if (behind.length > 0) {
    const who = behind.map((follower) => `${follower.name} by ${follower.lag}`).join(", ");
    found.push(warn(check, `copies are behind: ${who}`, "wait, and look again; if it stays so, see that server's log and disk"));
  }
  if (limitBytes > 0 && used > limitBytes * FULL && !name.startsWith("PILOT_"))
    found.push(
      warn(check, `${bytes(used)} of ${bytes(limitBytes)} are used`, "remove what is not needed: beyond the bound writes are refused"),
    );
  return found;
}
