import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import fc from "fast-check";
import { unzipSync } from "fflate";
import { bundleSource, makeBundle } from "../../../nodes/io/bundle/index.ts";
import { fault, place } from "./place.ts";

const HANDLER = "def handler(event, context):\n    return event\n";

const names = (code: Uint8Array): string[] => Object.keys(unzipSync(code)).sort();
const text = (code: Uint8Array, name: string): string => Buffer.from(unzipSync(code)[name] ?? []).toString();

/** Environment without python3 for one test. */
function hidePython(): () => void {
  const path = process.env["PATH"];
  process.env["PATH"] = "/nonexistent";
  return () => {
    process.env["PATH"] = path;
  };
}

test.serial("a Python file becomes a zip with source, compiled code and pilot.json", async (t) => {
  const root = await place(t, { "01-hello.py": HANDLER });
  const bundle = await makeBundle(join(root, "01-hello.py"));
  t.is(bundle.runtime, "python");
  t.is(bundle.handler, "handler");
  t.deepEqual(names(bundle.code), ["_01_hello.py", "_01_hello.pyc", "pilot.json"]);
  t.is(text(bundle.code, "pilot.json"), '{"main":"_01_hello"}');
  t.is(text(bundle.code, "_01_hello.py"), HANDLER);
});

test.serial("the compiled code has this Python's magic number, the unchecked-hash flag, and runs", async (t) => {
  const { code } = await bundleSource(HANDLER, "python");
  const pyc = Buffer.from(unzipSync(code)["function.pyc"] ?? []);
  const script =
    "import sys,marshal,importlib.util as u\nd=sys.stdin.buffer.read()\nassert d[:4]==u.MAGIC_NUMBER and d[4]==1\ng={}\nexec(marshal.loads(d[16:]),g)\nprint(g['handler'](7,None), g['handler'].__code__.co_filename)";
  t.is(execFileSync("python3", ["-c", script], { input: pyc }).toString().trim(), "7 function.py");
});

test.serial("a directory keeps packages and data, puts vendored packages at the root and leaves out what is not run", async (t) => {
  const root = await place(t, {
    "handler.py": "from pkg import x\nimport dep\ndef handler(e, c): return x\n",
    "pkg/__init__.py": "x = {1, 2, 'a', 'b', 'c'}\n",
    "pkg/data.bin": Buffer.from([0, 1, 2]),
    "vendor/dep/__init__.py": "y = 1\n",
    "vendor/dep-1.0.dist-info/RECORD": "dep/__init__.py,,\ndep/old.py,,\n",
    "vendor/dep/old.py": "print 'python 2'\n",
    "tests/test_it.py": "broken(",
    ".git/config": "x",
    ".env": "SECRET=1",
    "__pycache__/a.cpython-311.pyc": "x",
    "env/pyvenv.cfg": "home = /usr",
    "env/lib/x.py": "broken(",
  });
  const bundle = await makeBundle(root);
  t.deepEqual(names(bundle.code), [
    "dep-1.0.dist-info/RECORD",
    "dep/__init__.py",
    "dep/__init__.pyc",
    "dep/old.py",
    "handler.py",
    "handler.pyc",
    "pilot.json",
    "pkg/__init__.py",
    "pkg/__init__.pyc",
    "pkg/data.bin",
  ]);
  t.is(bundle.warnings.length, 3);
  t.true(bundle.warnings.some((warning) => warning.includes("virtual environment")));
});

test.serial("a syntax error is BadCode with file, line, column and the source line", async (t) => {
  const root = await place(t, { "main.py": HANDLER, "lib/deep.py": "x = 1\n\ndef f(:\n    pass\n" });
  const message = await fault(t, makeBundle(root), "BadCode");
  t.regex(message, /^lib\/deep\.py:3:7: SyntaxError: invalid syntax\n {2}3 \| def f\(:\n/);
  t.regex(await fault(t, bundleSource("def handler(e, c):\n  x\n y", "python"), "BadCode"), /^function\.py:3:/);
});

test.serial("a handler that the code is known not to define is BadCode; where that is unsure it is left to the first call", async (t) => {
  t.regex(await fault(t, bundleSource("def run(e, c): pass", "python"), "BadCode"), /function\.py does not define "handler"/);
  for (const source of [
    "from json import *",
    "globals()['handler'] = print",
    "from m import f as handler",
    "handler = lambda e, c: e",
    "def __getattr__(n): return print",
  ]) {
    t.is((await bundleSource(source, "python")).handler, "handler");
  }
  const root = await place(t, { "lambda_function.py": "def lambda_handler(e, c): pass", "main.py": "" });
  t.is((await makeBundle(root, { handler: "lambda_function.lambda_handler" })).handler, "lambda_handler");
});

test.serial("the same files give the same bytes, in any directory and order of creation", async (t) => {
  const module = fc.constantFrom("a.py", "b.py", "pkg/__init__.py", "pkg/mod.py", "data/x.json", "zé.txt");
  const body = fc.constantFrom(
    "x = {'a', 'b', 'c', 1, 2.5}\n",
    "def f():\n    return x in {'p', 'q', 'r'}\n",
    "class A:\n    'doc'\n    y = (1, 'two', None)\n",
    "",
  );
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.tuple(module, body), { selector: ([name]) => name, maxLength: 5 }), async (files) => {
      const forth = await place(t, { "main.py": HANDLER, ...Object.fromEntries(files) });
      const back = await place(t, { ...Object.fromEntries([...files].reverse()), "main.py": HANDLER });
      const [first, second] = await Promise.all([makeBundle(forth), makeBundle(back)]);
      t.is(first.digest, second.digest);
    }),
    { numRuns: 8 },
  );
});

test.serial("links that go round or out, pipes and names that no zip should hold are left out with a warning", async (t) => {
  const outside = await place(t, { "secret.txt": "secret" });
  const root = await place(t, { "main.py": HANDLER, "real/a.txt": "a" });
  await symlink(outside, join(root, "out"));
  await symlink(join(outside, "secret.txt"), join(root, "secret.txt"));
  await symlink("..", join(root, "real", "up"));
  await symlink("real", join(root, "alias"));
  await symlink("gone", join(root, "dangling"));
  execFileSync("mkfifo", [join(root, "pipe")]);
  await writeFile(join(root, "two\nlines.txt"), "x");
  await mkdir(join(root, "back\\slash"));
  const bundle = await makeBundle(root);
  t.deepEqual(names(bundle.code), ["alias/a.txt", "main.py", "main.pyc", "pilot.json", "real/a.txt"]);
  t.is(bundle.warnings.length, 8);
  t.false(bundle.warnings.some((warning) => warning.includes("\n")));
});

test.serial("a lone file that imports its neighbour is warned about", async (t) => {
  const root = await place(t, { "fn.py": `import json\nfrom helper import x\n${HANDLER}`, "helper.py": "x = 1" });
  const { warnings } = await makeBundle(join(root, "fn.py"));
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? "", /imports helper, which lies beside it/);
});

test.serial("without python3 the sources are packed alone, with a warning", async (t) => {
  const restore = hidePython();
  try {
    const bundle = await bundleSource(HANDLER, "python");
    t.deepEqual(names(bundle.code), ["function.py", "pilot.json"]);
    t.regex(bundle.warnings[0] ?? "", /python3 does not run on this machine/);
  } finally {
    restore();
  }
});

test.serial("hostile source ends in a bundle or BadCode", async (t) => {
  for (const source of [
    "(".repeat(200_000),
    "-".repeat(200_000),
    "x = ".repeat(50_000),
    `x = ${"[".repeat(90)}`,
    "f'{".repeat(1000),
    "# coding: nonsense\nx",
    "1 << 10 ** 9",
    `x = ${"1+".repeat(50_000)}1`,
  ]) {
    const outcome = await bundleSource(`${source}\n`, "python").then(
      () => "made",
      (thrown: Error) => thrown.name,
    );
    t.is(outcome, "BadCode", source.slice(0, 20));
  }
});

test.serial("a project file named like a module of the compiler is not run by it", async (t) => {
  const evil = "raise SystemExit('ran')\n";
  const root = await place(t, {
    "main.py": HANDLER,
    "json.py": evil,
    "marshal.py": evil,
    "struct.py": evil,
    "sitecustomize.py": evil,
  });
  t.true(names((await makeBundle(root)).code).includes("main.pyc"));
});
