/** What a version loads comes with the order of its container; a host reads the record only where it does not. */
import test from "ava";
import { encode, joinHead } from "../../../protocol/codec.ts";
import type { OrderedCode } from "../../../protocol/messages/call.ts";
import { SUBJECT } from "../../../protocol/subjects.ts";
import { rig } from "./rig.ts";

/** What of "echo" a first call has made known to the rig. */
async function open(t: Parameters<typeof rig>[0]) {
  const r = await rig(t);
  r.call("echo", "warm", "first");
  await r.clock.advance(50);
  const [digest = ""] = r.downloads;
  const code: OrderedCode = { digest, runtime: "node", handler: "handler", environment: { A: "1" }, network: false };
  return { r, code, instance: r.active[0]?.id ?? "" };
}

test("F013 a container is made without a read of the version's record when the order says what to load", async (t) => {
  const { r, code, instance } = await open(t);
  // The store of the rig knows no version of a function with this name.
  const sent = r.order(r.head("unknown", { code, place: { rung: "own", by: "keeper", instance } }), "hi");
  await r.clock.advance(50);
  t.is(sent.reply.body, "hi");
  t.is(sent.reply.header("Pilot-Rung"), "own");
  // And it is remembered, for grants and orders that do not say it.
  const again = r.order(r.head("unknown", { place: { rung: "cached", by: "keeper", instance } }), "again");
  await r.clock.advance(50);
  t.is(again.reply.body, "again");
});

test("an order that says what another version loads changes nothing of what is known", async (t) => {
  const { r, code, instance } = await open(t);
  const head = r.head("echo", { code: { ...code, digest: "f".repeat(64) }, place: { rung: "cached", by: "keeper", instance } });
  const sent = r.order(head, "still echo");
  await r.clock.advance(50);
  t.is(sent.reply.body, "still echo");
  t.is(r.downloads.length, 1);
});

test("what an order says of its code is judged before it is believed", async (t) => {
  const { r, code, instance } = await open(t);
  const place = { rung: "own", by: "keeper", instance } as const;
  for (const [nth, change] of [
    { digest: "../../etc/passwd" },
    { runtime: "cobol" },
    { handler: "" },
    { environment: { "LD PRELOAD": "x" } },
    { environment: { A: "x".repeat(40_000) } },
    { network: "yes" },
  ].entries()) {
    const head = { ...r.head("unknown", { place }), code: { ...code, ...change } };
    const back = SUBJECT.back("k1", 900 + nth, 1, `_INBOX.z.${nth}`);
    const refusals: unknown[] = [];
    r.outside.listen(back, {}, (message) => refusals.push(message.body));
    r.outside.send(SUBJECT.host("h1"), joinHead(head, encode("")), back);
    await r.clock.advance(20);
    t.is(refusals.length, 1, JSON.stringify(change).slice(0, 60));
  }
  t.is(r.downloads.length, 1);
});
