import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import fc from "fast-check";
import { Channel, type Closed } from "../../../nodes/io/sandbox/channel.ts";
import { FRAME, type Frame, FrameReader, frameHead } from "../../../protocol/frames.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { temporaryDirectory } from "../../support/temp.ts";
import { until } from "../../support/until.ts";

const NOTHING = new Uint8Array(0);

interface Pair {
  readonly far: Socket;
  readonly channel: Channel;
  readonly frames: Frame[];
  readonly closes: Closed[];
}

async function pair(t: ExecutionContext): Promise<Pair> {
  const path = join(await temporaryDirectory(t), "s");
  const server = createServer().listen(path);
  t.teardown(() => server.close());
  await once(server, "listening");
  const far = connect(path).on("error", () => {});
  const [near] = (await once(server, "connection")) as [Socket];
  const frames: Frame[] = [];
  const closes: Closed[] = [];
  const channel = new Channel(
    near,
    undefined,
    (frame) => frames.push(frame),
    (why) => closes.push(why),
  );
  t.teardown(() => {
    far.destroy();
    channel.destroy();
  });
  return { far, channel, frames, closes };
}

test("F100 any bytes at all either make frames or close the channel once, and never throw", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 20 }), async (chunks) => {
      const { far, closes } = await pair(t);
      for (const chunk of chunks) far.write(chunk);
      far.end();
      await until(() => closes.length > 0, "the channel to close");
      t.is(closes.length, 1);
    }),
    { numRuns: 40 },
  );
});

test("F100 frames of every size cross in both directions unchanged", async (t) => {
  const { far, channel, frames } = await pair(t);
  const back: Frame[] = [];
  const reader = new FrameReader((frame) => back.push(frame), LIMITS.frameExtra.value, LIMITS.framePayload.value);
  far.on("data", (chunk: Buffer) => reader.feed(chunk));
  const sizes = [0, 1, 2048, 2049, 70_000, 3 << 20];
  sizes.forEach((size, id) => {
    const payload = new Uint8Array(size).fill(id);
    far.write(frameHead(FRAME.result, 1, id, NOTHING, size));
    far.write(payload);
    channel.send(FRAME.call, 0, id, Buffer.from("extra"), payload);
  });
  await until(() => frames.length === sizes.length && back.length === sizes.length, "all frames to arrive");
  for (const list of [frames, back]) {
    list.forEach((frame, id) => {
      t.is(frame.id, id);
      t.true(Buffer.from(frame.payload).equals(Buffer.alloc(sizes[id] ?? 0, id)));
    });
  }
});

for (const [type, most] of [
  [FRAME.log, LIMITS.frameAnswer.value],
  [FRAME.loaded, LIMITS.frameAnswer.value],
  [FRAME.result, LIMITS.largeBody.value],
  [FRAME.request, LIMITS.largeBody.value],
] as const) {
  test(`F100 a frame of type ${type} that claims more than ${most} bytes closes the channel before it is read`, async (t) => {
    const { far, closes } = await pair(t);
    far.write(frameHead(type, 0, 1, NOTHING, most + 1));
    await until(() => closes.length > 0, "the channel to close");
    t.is(closes[0]?.kind, "broken");
  });
}

test("a large frame says when nothing of it is in memory any more, be it that the other end never reads it", async (t) => {
  const { far, channel } = await pair(t);
  far.pause();
  const written: string[] = [];
  channel.send(FRAME.call, 0, 1, NOTHING, new Uint8Array(32 << 20), () => written.push("first"));
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(written, []);
  far.resume();
  await until(() => written.length === 1, "the first to be read");
  far.pause();
  channel.send(FRAME.call, 0, 2, NOTHING, new Uint8Array(32 << 20), () => written.push("second"));
  channel.destroy();
  await until(() => written.length === 2, "the second to be given up");
  t.deepEqual(written, ["first", "second"]);
});

test("a frame for a channel that has closed, or one that is small, says so too", async (t) => {
  const { channel } = await pair(t);
  const written: string[] = [];
  for (const bytes of [0, 1, 4_096]) channel.send(FRAME.call, 0, 1, NOTHING, new Uint8Array(bytes), () => written.push(`open ${bytes}`));
  await until(() => written.length === 3, "the frames to be written");
  channel.destroy();
  for (const bytes of [0, 1, 4_096]) t.false(channel.send(FRAME.call, 0, 1, NOTHING, new Uint8Array(bytes), () => written.push("closed")));
  t.is(written.length, 6);
});

test("F100 one frame in endless tiny pieces closes the channel", async (t) => {
  const { far, closes } = await pair(t);
  far.setNoDelay(true);
  far.write(frameHead(FRAME.result, 0, 1, NOTHING, LIMITS.frameAnswer.value));
  const drip = (): void => {
    if (closes.length === 0 && !far.destroyed) far.write("x", () => setImmediate(drip));
  };
  drip();
  await until(() => closes.length > 0, "the channel to close", 30_000);
  t.is(closes[0]?.kind, "broken");
});

test("F100 a reader that never reads is told apart by false, and ended at the bound", async (t) => {
  const { far, channel, closes } = await pair(t);
  far.pause();
  const payload = new Uint8Array(8 << 20);
  let told = true;
  for (let sent = 0; sent <= LIMITS.channelBacklog.value + 2 * payload.length; sent += payload.length)
    told = channel.send(FRAME.call, 0, 1, NOTHING, payload);
  t.false(told);
  await until(() => closes.length > 0, "the channel to close");
  t.is(closes[0]?.kind, "broken");
  t.false(channel.send(FRAME.call, 0, 1, NOTHING, NOTHING));
});

test("F100 a flood of frames is read at a bounded rate, in order, and nothing of it is lost", async (t) => {
  const { far, frames, closes } = await pair(t);
  const count = (3 * LIMITS.channelFrames.value) / 10;
  const flood = Buffer.concat(Array.from({ length: count }, (_, id) => frameHead(FRAME.log, 0, id, NOTHING, 0)));
  far.write(flood);
  await until(() => frames.length > 0, "the first of them");
  t.true(frames.length < count, "not all at once");
  await until(() => frames.length === count, "the last of them");
  t.true(frames.every((frame, id) => frame.id === id));
  t.is(closes.length, 0);
});

test("F100 half frames of many containers are bounded together: the one that began first is ended", async (t) => {
  const bytes = LIMITS.frameAnswer.value;
  const pairs: Pair[] = [];
  for (let held = 0; held <= LIMITS.halfFrames.value; held += bytes - 1) {
    const one = await pair(t);
    one.far.write(frameHead(FRAME.result, 0, 1, NOTHING, bytes));
    one.far.write(new Uint8Array(bytes - 1));
    pairs.push(one);
    // The next begins when this one is held, or when it has pushed the first out.
    await until(() => one.far.writableLength === 0 || (pairs[0]?.closes.length ?? 0) > 0, "the half frame to be read");
  }
  await until(() => (pairs[0]?.closes.length ?? 0) > 0, "the first to be ended");
  t.is(pairs[0]?.closes[0]?.kind, "broken");
  t.is(pairs.filter((one) => one.closes.length > 0).length, 1);
  const last = pairs.at(-1);
  last?.far.write(new Uint8Array(1));
  await until(() => (last?.frames.length ?? 0) > 0, "the last one's frame to be whole");
});
