import { execFileSync } from "node:child_process";
import { mkdir, open, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { makeBundle } from "../../../nodes/io/bundle/index.ts";
import { fault, place } from "./place.ts";

async function sparse(path: string, bytes: number): Promise<void> {
  const file = await open(path, "w");
  await file.truncate(bytes);
  await file.close();
}

test("what is missing, a device, a pipe or of an unknown ending is refused with the reason", async (t) => {
  const root = await place(t, { "notes.md": "hello", "x.py": "def handler(e, c): pass" });
  t.regex(await fault(t, makeBundle(join(root, "gone.ts")), "BadRequest"), /it does not exist/);
  t.regex(await fault(t, makeBundle(join(root, "x.py/y.ts")), "BadRequest"), /not a directory/);
  t.regex(await fault(t, makeBundle(join(root, "notes.md")), "BadRequest"), /unknown ending; functions end in \.ts, .*\.py/);
  t.regex(await fault(t, makeBundle("/dev/zero"), "BadRequest"), /neither a file nor a directory/);
  t.regex(await fault(t, makeBundle("a\0b.ts"), "BadRequest"), /zero byte/);
  t.regex(await fault(t, makeBundle(join(root, "x.py"), { runtime: "node" }), "BadRequest"), /code for python/);
  execFileSync("mkfifo", [join(root, "pipe.ts")]);
  await fault(t, makeBundle(join(root, "pipe.ts")), "BadRequest");
  await symlink("loop.ts", join(root, "loop.ts"));
  t.regex(await fault(t, makeBundle(join(root, "loop.ts")), "BadRequest"), /circle/);
  const long = await fault(t, makeBundle(join(root, `evil\n\u001b[31m${"x".repeat(300)}`)), "BadRequest");
  t.notRegex(long, /\p{Cc}/u);
});

test("an empty and a binary file are refused", async (t) => {
  const root = await place(t, {
    "empty.ts": "",
    "blank.py": "\n  \n",
    "bom.js": "\uFEFF",
    "zero.js": "a\0b",
    "latin.js": Buffer.from([0x61, 0xff, 0xfe]),
    "zero.py": "a\0b",
  });
  for (const name of ["empty.ts", "blank.py", "bom.js"]) t.regex(await fault(t, makeBundle(join(root, name)), "BadRequest"), /is empty/);
  for (const name of ["zero.js", "zero.py"]) t.regex(await fault(t, makeBundle(join(root, name)), "BadRequest"), /binary/);
  t.regex(await fault(t, makeBundle(join(root, "latin.js")), "BadRequest"), /UTF-8/);
});

test("a directory without an entry says what was looked for, and one with two asks which", async (t) => {
  t.regex(
    await fault(t, makeBundle(await place(t)), "BadRequest"),
    /has no entry; looked for index, handler, main, function with \.ts,.*; and main, .*lambda_function.* with \.py/,
  );
  t.regex(await fault(t, makeBundle(await place(t, { "x.ts": "1" }), { runtime: "python" }), "BadRequest"), /looked for main, handler/);
  const both = await place(t, { "index.ts": "export const handler = 1;", "main.py": "def handler(e, c): pass" });
  t.regex(await fault(t, makeBundle(both), "BadRequest"), /index\.ts and main\.py; say which/);
  t.is((await makeBundle(both, { runtime: "python" })).runtime, "python");
  t.regex(await fault(t, makeBundle(await place(t, { "package.json": "{" })), "BadRequest"), /package\.json is not JSON/);
  t.regex(
    await fault(t, makeBundle(await place(t, { "package.json": '{"main":"../../x.js"}' })), "BadRequest"),
    /outside of the directory/,
  );
});

test("200 MB are refused by size before they are read, as entry, as import and as data", async (t) => {
  const size = 200 * 1024 * 1024;
  const root = await place(t, { "index.ts": 'import big from "./big.txt";\nexport const handler = () => big;' });
  await sparse(join(root, "big.txt"), size);
  await sparse(join(root, "big.js"), size);
  t.regex(await fault(t, makeBundle(join(root, "big.js")), "BundleTooLarge"), /big\.js has 200\.0 MB; .* 64\.0 MB at most/);
  t.regex(await fault(t, makeBundle(root), "BundleTooLarge"), /big\.txt/);
  const python = await place(t, { "main.py": "def handler(e, c): pass" });
  await sparse(join(python, "data.bin"), size);
  t.regex(await fault(t, makeBundle(python), "BundleTooLarge"), /data\.bin, 200\.0 MB/);
});

test("an import of a device or pipe is an error with its place, and does not hang", async (t) => {
  const root = await place(t, {
    "index.ts": 'import x from "./pipe.txt";\nexport const handler = () => x;',
    "dev.ts": 'import x from "/dev/zero";\nexport const handler = x;',
  });
  execFileSync("mkfifo", [join(root, "pipe.txt")]);
  t.regex(await fault(t, makeBundle(root), "BadCode"), /^index\.ts:1:15: /);
  t.regex(await fault(t, makeBundle(join(root, "dev.ts")), "BadCode"), /^dev\.ts:1:15: /);
});

test("too many files are BundleTooLarge, though each is empty", async (t) => {
  const root = await place(t, { "main.py": "def handler(e, c): pass" });
  await mkdir(join(root, "data"));
  for (let at = 0; at <= 20_000; at += 500)
    await Promise.all(Array.from({ length: 500 }, (_, n) => writeFile(join(root, "data", `${at + n}`), "")));
  t.regex(await fault(t, makeBundle(root), "BundleTooLarge"), /more than 20000 files/);
});
