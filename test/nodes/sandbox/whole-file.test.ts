import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { writeWhole } from "../../../nodes/io/sandbox/whole-file.ts";
import { temporaryDirectory } from "../../support/temp.ts";

test("who is reading a file while it is replaced reads the old one whole, and who opens it then the new one", async (t) => {
  const path = join(await temporaryDirectory(t), "arguments");
  writeWhole(path, "--unshare-all --cap-drop ALL", 0o600);
  const open = openSync(path, "r");
  t.teardown(() => closeSync(open));
  const bytes = Buffer.alloc(100);
  const first = readSync(open, bytes, 0, 9, null);
  writeWhole(path, "--new", 0o600);
  const rest = readSync(open, bytes, first, 91, null);
  t.is(bytes.toString("utf8", 0, first + rest), "--unshare-all --cap-drop ALL");
  t.is(readFileSync(path, "utf8"), "--new");
});
