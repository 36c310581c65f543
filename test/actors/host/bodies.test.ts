import { createHash, randomBytes } from "node:crypto";
import test from "ava";
import { BODY_HEADER, type BodyRef, parseBody } from "../../../protocol/bodies.ts";
import { encode } from "../../../protocol/codec.ts";
import { FRAME } from "../../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../../protocol/limits.ts";
import { cancelOnHost, hostLost } from "../../../protocol/messages/host.ts";
import { parseBackSubject, SUBJECT } from "../../../protocol/subjects.ts";
import type { FakeProgram } from "../../../runtimes/fake/program.ts";
import { bytesOf, type Rig, rig } from "./rig.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const MiB = 1 << 20;

/** Answers with the digest of its body. */
const digest: FakeProgram = { run: (body) => bytesOf(sha256(body)) };
const large: FakeProgram = { run: (body) => new Uint8Array(Number(new TextDecoder().decode(body))).fill(9) };

/** Puts a body into the store, as a caller would have done. */
const stored = (r: Rig, bytes: Uint8Array, account = "main"): Promise<BodyRef> => r.bodies.whole.write(account, bytes);

/** Closes the store until the function that comes back is called. */
function closeStore(r: Rig): () => void {
  let open: () => void = () => undefined;
  r.bodies.gate = new Promise((resolve) => {
    open = resolve;
  });
  return () => {
    r.bodies.gate = undefined;
    open();
  };
}

/** What is answered on an inbox whose owner can redeem claim checks. */
function redeeming(r: Rig, name: string) {
  const inbox = `_INBOX.${name}.claim.1`;
  const heard: { error: string | undefined; claim: BodyRef | undefined; bytes: number; message: string }[] = [];
  r.outside.listen(inbox, {}, (message) => {
    heard.push({
      error: message.header("Pilot-Error"),
      claim: parseBody(message.header(BODY_HEADER) ?? ""),
      bytes: message.body.length,
      message: message.header("Nats-Service-Error") ?? "",
    });
  });
  return { inbox, heard };
}

test("a large body is read when a container has been found, comes as one frame, and leaves the store after the call", async (t) => {
  const r = await rig(t, {}, { digest });
  const body = randomBytes(9 * MiB);
  const ref = await stored(r, body);
  const sent = r.call("digest", "warm", "", { bodyRef: ref });
  await r.clock.settle();
  t.is(sent.reply.body, sha256(body));
  await r.clock.advance(LIMITS.recordsEvery.value * 2);
  t.is(r.records[0]?.bytesIn, body.length);
  t.true([...r.bodies.parts.values()].every((part) => part.length === 0));
  t.is(r.counter("bodies.fetched"), 1);
});

test("the time in which a large body comes is no run time, and nothing is sent ahead into its container meanwhile", async (t) => {
  const r = await rig(t, {}, { digest, echo: { run: (body) => body.slice() } });
  const first = r.call("digest", "warm", "a");
  await r.clock.settle();
  t.is(first.reply.error, undefined);
  const ref = await stored(r, randomBytes(5 * MiB));
  const open = closeStore(r);
  const sent = r.call("digest", "hot", "", { bodyRef: ref, timeoutMs: 200, waitMs: 60_000 });
  await r.clock.settle();
  const behind = r.call("digest", "hot", "small", { waitMs: 60_000 });
  await r.clock.advance(5_000);
  t.is(sent.replies.length + behind.replies.length, 0);
  const before = r.clock.epoch();
  open();
  await r.clock.settle();
  t.is(sent.reply.error, undefined);
  t.true(Number(sent.reply.header("Pilot-Times")?.split(";")[1]) >= before);
  t.is(behind.reply.body, sha256(bytesOf("small")));
  t.is(behind.reply.header("Pilot-Container"), sent.reply.header("Pilot-Container"));
});

test("a body that is missing, or has another digest, is BodyUnavailable; the container serves the next call, and nothing was removed", async (t) => {
  const r = await rig(t, {}, { digest });
  const ref = await stored(r, randomBytes(5 * MiB));
  const wrong = r.call("digest", "warm", "", { bodyRef: { ...ref, sha256: "0".repeat(64) } });
  await r.clock.settle();
  t.is(wrong.reply.error, "BodyUnavailable");
  const foreign = r.call("digest", "hot", "", { bodyRef: { ...ref, id: "f".repeat(32) } });
  await r.clock.settle();
  t.is(foreign.reply.error, "BodyUnavailable");
  const right = r.call("digest", "hot", "", { bodyRef: ref });
  await r.clock.settle();
  t.is(right.reply.error, undefined);
  t.is(r.instances.flatMap(({ containers }) => containers).filter(({ calls = 0 }) => calls > 0).length, 1);
});

test("a store that does not answer is Unavailable after LIMITS.bodyWait, and the container is free again", async (t) => {
  const r = await rig(t, {}, { digest });
  const ref = await stored(r, randomBytes(5 * MiB));
  const open = closeStore(r);
  const sent = r.call("digest", "warm", "", { bodyRef: ref });
  await r.clock.advance(LIMITS.bodyWait.value - 100);
  t.is(sent.replies.length, 0);
  await r.clock.advance(200);
  t.is(sent.reply.error, "Unavailable");
  open();
  await r.clock.settle();
  const next = r.call("digest", "hot", "x");
  await r.clock.settle();
  t.is(next.reply.body, sha256(bytesOf("x")));
  t.is(sent.replies.length, 1);
});

test("a call that is cancelled while its body comes ends as Cancelled, once", async (t) => {
  const r = await rig(t, {}, { digest });
  const ref = await stored(r, randomBytes(5 * MiB));
  const open = closeStore(r);
  const sent = r.call("digest", "warm", "", { bodyRef: ref });
  await r.clock.settle();
  t.deepEqual(await r.settled(r.outside.ask(cancelOnHost, ["h1"], { call: sent.id })), { cancelled: true });
  t.is(sent.reply.error, "Cancelled");
  open();
  await r.clock.advance(LIMITS.bodyWait.value);
  t.is(sent.replies.length, 1);
});

test("a container that dies while a body comes for it costs the call nothing: another serves it", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] }, { digest });
  const body = randomBytes(5 * MiB);
  const ref = await stored(r, body);
  const open = closeStore(r);
  const sent = r.call("digest", "warm", "", { bodyRef: ref, waitMs: 10_000 });
  await r.clock.settle();
  const busy = r.instances.flatMap(({ containers }) => containers).find(({ state }) => state === "busy");
  void r.sandbox.find(busy?.id ?? "")?.end({ kind: "signalled", signal: "SIGKILL" });
  await r.clock.advance(200);
  t.is(sent.replies.length, 0);
  open();
  await r.clock.advance(200);
  t.is(sent.reply.body, sha256(body));
  t.not(sent.reply.header("Pilot-Container"), busy?.id);
});

test("a container that answers a call whose body has not come yet breaks nothing but its own call", async (t) => {
  const liar: FakeProgram = {
    run: async (body, context) => {
      if (body.length < 10) for (let id = 1; id < 50; id++) context.sendFrame(FRAME.result, 0, id, new Uint8Array(), bytesOf("a lie"));
      await context.sleep(10);
      for (let id = 1; id < 50; id++) context.sendFrame(FRAME.result, 0, id, new Uint8Array(), bytesOf("a lie"));
      return bytesOf("done");
    },
  };
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 2 }] }, { liar, digest });
  const first = r.call("liar", "warm", "x");
  await r.clock.settle();
  const ref = await stored(r, randomBytes(5 * MiB));
  const open = closeStore(r);
  const sent = r.call("liar", "hot", "", { bodyRef: ref, waitMs: 10_000 });
  await r.clock.advance(50);
  open();
  await r.clock.advance(LIMITS.bodyWait.value);
  t.is(first.replies.length, 1);
  t.is(sent.replies.length, 1);
  const other = r.call("digest", "warm", "x", { account: "second" });
  await r.clock.advance(100);
  t.is(other.reply.body, sha256(bytesOf("x")));
});

test("large bodies that a host reads are bounded in all and per account; further calls wait, and another account's goes on", async (t) => {
  const r = await rig(t, { memoryMb: 64_000, pools: [{ runtime: "node", memoryMb: 4_096, warm: 4 }] }, { digest });
  const bytes = new Uint8Array(48 * MiB);
  const [ref, other] = [await stored(r, bytes), await stored(r, bytes, "second")];
  const open = closeStore(r);
  const asked: string[] = [];
  const read = r.bodies.whole.read.bind(r.bodies.whole);
  Object.assign(r.bodies.whole, {
    read: (account: string, one: BodyRef, signal?: AbortSignal) => {
      asked.push(account);
      return read(account, one, signal);
    },
  });
  const calls = Array.from({ length: 4 }, () => r.call("digest", "cold", "", { bodyRef: ref, timeoutMs: 60_000 }));
  await r.clock.advance(500);
  // Two of 48 MiB are less than half of the room, three are more.
  t.deepEqual(asked, ["main", "main"]);
  const foreign = r.call("digest", "cold", "", { account: "second", bodyRef: other, timeoutMs: 60_000 });
  await r.clock.advance(500);
  t.deepEqual(asked, ["main", "main", "second"]);
  open();
  await r.clock.advance(2_000);
  t.is(foreign.reply.error, undefined);
  // The first used the body up for the others, which are told so; nobody waits for ever.
  for (const call of calls) t.true(call.reply.error === undefined || call.reply.error === "BodyUnavailable");
});

test("a large result is stored, and its caller gets a claim check where it can redeem one, else ResultTooLarge with advice", async (t) => {
  const r = await rig(t, { pools: [{ runtime: "node", memoryMb: 1_024, warm: 1 }] }, { large });
  const { inbox, heard } = redeeming(r, "big");
  r.call("large", "warm", "1");
  await r.clock.settle();
  const size = 10 * MiB;
  const head = r.head("large", { place: { rung: "hot", by: "keeper" } });
  r.order(head, String(size), SUBJECT.back("k1", head.number, 1, inbox));
  await r.clock.settle();
  const [answer] = heard;
  t.is(answer?.error, undefined);
  t.is(answer?.bytes, 0);
  const { claim } = answer ?? {};
  if (claim === undefined) return t.fail("no claim check");
  t.is(claim.bytes, size);
  t.is(claim.sha256, sha256(new Uint8Array(size).fill(9)));
  t.is(Buffer.compare(await r.bodies.whole.read("main", claim), new Uint8Array(size).fill(9)), 0);
  const plain = r.call("large", "hot", String(BODY_LIMIT + 1));
  await r.clock.settle();
  t.is(plain.reply.error, "ResultTooLarge");
  t.regex(plain.reply.message, /pilot invoke/);
  const most = r.call("large", "hot", String(BODY_LIMIT));
  await r.clock.settle();
  t.is(most.reply.bytes.length, BODY_LIMIT);
});

test("a direct call gets its large result by claim check too", async (t) => {
  const r = await rig(t, {}, { large });
  const first = r.call("large", "warm", "1");
  await r.clock.settle();
  t.is(first.reply.error, undefined);
  await r.grant("large");
  const { inbox, heard } = redeeming(r, "direct");
  r.direct("large", String(6 * MiB), undefined, inbox);
  await r.clock.settle();
  t.is(heard[0]?.claim?.bytes, 6 * MiB);
});

test("a direct call whose large result is being stored when its host is declared lost hears of it: nobody else knows the call", async (t) => {
  const r = await rig(t, {}, { large });
  r.call("large", "warm", "1");
  await r.clock.settle();
  await r.grant("large");
  const { inbox, heard } = redeeming(r, "lost");
  const open = closeStore(r);
  r.direct("large", String(6 * MiB), undefined, inbox);
  await r.clock.settle();
  const { epoch } = r.announcements[0] ?? { epoch: "" };
  r.outside.tell(hostLost, ["h1"], { epoch });
  await r.clock.settle();
  t.is(r.counter("clock.lost"), 1);
  t.is(heard.length, 0);
  open();
  await r.clock.settle();
  t.is(heard.length, 1);
  t.is(heard[0]?.claim?.bytes, 6 * MiB);
});

test("results that cannot be stored, or for which the host has no room, say that the function has run; the container goes on", async (t) => {
  const r = await rig(t, { memoryMb: 64_000, pools: [{ runtime: "node", memoryMb: 4_096, warm: 1 }] }, { large });
  r.call("large", "warm", "1");
  await r.clock.settle();
  const open = closeStore(r);
  const count = Math.floor(LIMITS.largeResults.value / 2 / (60 * MiB));
  const listeners = Array.from({ length: count + 1 }, (_, nth) => redeeming(r, `full${nth}`));
  for (const { inbox } of listeners) {
    const head = r.head("large", { place: { rung: "hot", by: "keeper", queue: true } });
    r.order(head, String(60 * MiB), SUBJECT.back("k1", head.number, 1, inbox));
    await r.clock.settle();
  }
  t.deepEqual(
    listeners.map(({ heard }) => heard[0]?.error),
    [...Array<undefined>(count).fill(undefined), "Throttled"],
  );
  t.regex(listeners.at(-1)?.heard[0]?.message ?? "", /^the function has run/);
  await r.clock.advance(LIMITS.bodyWait.value + 100);
  open();
  await r.clock.advance(100);
  for (const { heard } of listeners.slice(0, -1)) {
    t.is(heard.length, 1);
    t.is(heard[0]?.error, "Unavailable");
    t.regex(heard[0]?.message ?? "", /^the function has run/);
  }
  const after = r.call("large", "hot", "3");
  await r.clock.settle();
  t.is(after.reply.bytes.length, 3);
});

test("a host that drains waits until a large result is stored and its caller has it", async (t) => {
  const r = await rig(t, {}, { large });
  const { inbox, heard } = redeeming(r, "drain");
  const open = closeStore(r);
  const head = r.head("large", {});
  r.order(head, String(5 * MiB), SUBJECT.back("k1", head.number, 1, inbox));
  await r.clock.settle();
  t.is(r.host.held()["work"], 1);
  const drained = r.host.drain();
  await r.clock.advance(2_000);
  t.is(heard.length, 0);
  open();
  await r.clock.advance(2_000);
  await r.settled(drained);
  t.is(heard[0]?.claim?.bytes, 5 * MiB);
});

test("a function sends a large body to another and gets a large answer, both by claim check in its name", async (t) => {
  const asks: FakeProgram = {
    run: async (_, context) => {
      const answer = await context.call("other", new Uint8Array(6 * MiB).fill(3)).catch((error: Error) => bytesOf(error.name));
      return bytesOf(answer.length < 100 ? new TextDecoder().decode(answer) : sha256(answer));
    },
  };
  const r = await rig(t, {}, { asks });
  r.withPlacing();
  const sent = r.call("asks", "warm", "x");
  await r.clock.settle();
  const [handed] = r.toKeeper;
  t.is(handed?.body, "");
  const claim = handed?.head.bodyRef;
  t.is(claim?.bytes, 6 * MiB);
  t.is(claim?.sha256, sha256(new Uint8Array(6 * MiB).fill(3)));
  const inbox = parseBackSubject(handed?.reply ?? "")?.reply ?? "";
  const answer = randomBytes(7 * MiB);
  const ref = await stored(r, answer);
  r.outside.send(inbox, new Uint8Array(), "", { [BODY_HEADER]: `${ref.id};${ref.parts};${ref.bytes};${ref.sha256}` });
  await r.clock.settle();
  t.is(sent.reply.body, sha256(answer));
  t.is(r.bodies.parts.get(`main.${ref.id}.0`)?.length, 0);
  // An answer with a claim that cannot be redeemed is an error of the nested call.
  for (const value of ["garbage", `${"a".repeat(32)};1;5;${"0".repeat(64)}`]) {
    const again = r.call("asks", "hot", "x");
    await r.clock.settle();
    const reply = parseBackSubject(r.toKeeper.at(-1)?.reply ?? "")?.reply ?? "";
    r.outside.send(reply, encode({}), "", { [BODY_HEADER]: value });
    await r.clock.settle();
    t.is(again.reply.body, "BodyUnavailable", value);
  }
});

test("a container that answers without having read its large body is not used again, and the room is free once it is gone", async (t) => {
  const r = await rig(t, {}, { digest });
  const start = r.sandbox.start.bind(r.sandbox);
  const unread: (() => void)[] = [];
  Object.assign(r.sandbox, {
    start: async (...order: Parameters<typeof start>) => {
      const box = await start(...order);
      const send = box.send.bind(box);
      // The host's side of a socket that the other end reads only as far as it must.
      box.send = (type, flags, id, extra, payload, written) => {
        if (written !== undefined) unread.push(written);
        return send(type, flags, id, extra, payload);
      };
      return box;
    },
  });
  const ref = await stored(r, randomBytes(5 * MiB));
  const sent = r.call("digest", "cold", "", { bodyRef: ref, waitMs: 10_000 });
  await r.clock.advance(200);
  t.is(sent.reply.error, undefined);
  t.is(unread.length, 1);
  t.is(r.host.held()["bodyBytes"], ref.bytes);
  t.false(r.instances.some(({ containers }) => containers.some(({ calls = 0 }) => calls > 0)));
  unread[0]?.();
  t.is(r.host.held()["bodyBytes"], 0);
});

test("a large answer for which its call does not wait any more takes no room, and is removed", async (t) => {
  const leaves: FakeProgram = {
    run: async (_, context) => {
      void context.call("other").catch(() => undefined);
      await context.sleep(100);
      return bytesOf("left");
    },
  };
  const r = await rig(t, {}, { leaves });
  r.withPlacing();
  const sent = r.call("leaves", "warm", "x");
  await r.clock.settle();
  const ref = await stored(r, randomBytes(7 * MiB));
  const open = closeStore(r);
  const inbox = parseBackSubject(r.toKeeper[0]?.reply ?? "")?.reply ?? "";
  r.outside.send(inbox, new Uint8Array(), "", { [BODY_HEADER]: `${ref.id};${ref.parts};${ref.bytes};${ref.sha256}` });
  await r.clock.settle();
  t.is(r.host.held()["bodyBytes"], ref.bytes);
  await r.clock.advance(150);
  t.is(sent.reply.body, "left");
  t.is(r.host.held()["bodyBytes"], 0);
  open();
  await r.clock.settle();
  t.is(r.bodies.parts.get(`main.${ref.id}.0`)?.length, 0);
});

test("the large body of a nested call that failed is removed, since it may never have run", async (t) => {
  const asks: FakeProgram = {
    run: async (_, context) => {
      const answer = await context.call("nobody", new Uint8Array(6 * MiB)).catch((error: Error) => bytesOf(error.name));
      return answer.slice();
    },
  };
  const r = await rig(t, {}, { asks });
  r.withPlacing();
  const sent = r.call("asks", "warm", "x");
  await r.clock.settle();
  const claim = r.toKeeper[0]?.head.bodyRef;
  t.is(r.bodies.parts.get(`main.${claim?.id}.0`)?.length, LIMITS.bodyPart.value);
  const inbox = parseBackSubject(r.toKeeper[0]?.reply ?? "")?.reply ?? "";
  r.outside.send(inbox, new Uint8Array(), "", { "Pilot-Error": "FunctionNotFound", "Nats-Service-Error": "no such function" });
  await r.clock.settle();
  t.is(sent.reply.body, "FunctionNotFound");
  t.is(r.bodies.parts.get(`main.${claim?.id}.0`)?.length, 0);
});
