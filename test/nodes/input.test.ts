/** Files that a user hands to a command. */
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { openLargeFile } from "../../nodes/io/input.ts";
import { temporaryDirectory } from "../support/temp.ts";

async function all(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const got: Uint8Array[] = [];
  for await (const piece of pieces) got.push(piece);
  return Buffer.concat(got);
}

test("a large file is read as it is asked for; small ones, directories and what is not there are left to others", async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, "body");
  const bytes = Buffer.alloc(3_000_000, "body");
  await writeFile(path, bytes);
  const file = await openLargeFile(path, 1_000_000, 10_000_000);
  t.is(file?.bytes, bytes.length);
  t.true((await all(file?.pieces ?? (async function* () {})())).equals(bytes));
  t.is(await openLargeFile(path, bytes.length, 10_000_000), undefined);
  t.is(await openLargeFile(directory, 0, 10), undefined);
  t.is(await openLargeFile(join(directory, "nothing"), 0, 10), undefined);
  await t.throwsAsync(openLargeFile(path, 0, bytes.length - 1), { name: "PayloadTooLarge" });
});

test("a file that grows while it is read is refused", async (t) => {
  const path = join(await temporaryDirectory(t), "body");
  await writeFile(path, Buffer.alloc(2_000_000));
  const file = await openLargeFile(path, 0, 10_000_000);
  await appendFile(path, "more");
  await t.throwsAsync(all(file?.pieces ?? (async function* () {})()), { name: "BadRequest", message: /changed/ });
});
