import { execFileSync } from "node:child_process";
import test from "ava";
import { FRAME, type Frame } from "../../../protocol/frames.ts";
import { archive, bundle, json, listen, loaded, NOTHING, PYTHON, start, thrown } from "./drive.ts";

const isReady = (frame: Frame): boolean => frame.type === FRAME.ready;
const isLoaded = (frame: Frame): boolean => frame.type === FRAME.loaded;
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

test("python: a zygote forks containers that run apart, and outlives them", async (t) => {
  const zygote = await start(t, "zygote");
  const own = json((await zygote.frame(isReady)).extra) as { pid: number; runtime: string };
  t.regex(own.runtime, /^python 3\.\d+\.\d+$/);
  const server = await listen(t);
  for (let number = 0; number < 3; number += 1) {
    zygote.send(FRAME.fork, 0, number + 1, bytes(JSON.stringify({ socket: server.path, token: `t${number}` })), NOTHING);
    const child = await server.accepted(number);
    const said = json((await child.frame(isReady)).extra) as { pid: number; token: string };
    t.is(said.token, `t${number}`);
    t.not(said.pid, own.pid);
    child.load(
      bundle(
        "python",
        `import os, random\nseen = []\ndef handler(event, context):\n    seen.append(event)\n    return [len(seen), os.getpid(), random.random()]\n`,
      ),
    );
    const [count, pid] = (await child.invoke(1, 1)) as [number, number];
    t.is(count, 1);
    t.is(pid, said.pid);
    if (number < 2) child.close();
  }
  zygote.send(FRAME.fork, 0, 9, bytes("not json"), NOTHING);
  const refused = await zygote.frame((frame) => frame.type === FRAME.forkEnded && frame.id === 9);
  t.deepEqual(json(refused.extra), { code: null, signal: null });
  t.is(zygote.child.exitCode, null);
});

test("python: a zygote tells how each fork ended, by exit code or signal, and a fork has nothing of its zygote's channel", async (t) => {
  const zygote = await start(t, "zygote");
  await zygote.frame(isReady);
  const server = await listen(t);
  const ends = [
    ["os._exit(0)", { code: 0, signal: null }],
    ["raise SystemExit(7)", { code: 7, signal: null }],
    ["os._exit(139)", { code: 139, signal: null }],
    ["os.kill(os.getpid(), 11)", { code: null, signal: 11 }],
    ["os.abort()", { code: null, signal: 6 }],
  ] as const;
  for (const [at, [body, end]] of ends.entries()) {
    zygote.send(FRAME.fork, 0, at + 10, bytes(JSON.stringify({ socket: server.path, token: "t" })), NOTHING);
    const child = await server.accepted(at);
    await child.frame(isReady);
    child.load(
      bundle(
        "python",
        `import os\ndef handler(event, context):\n    if event: ${body}\n    return [os.readlink(f"/proc/{pid}/fd/3") for pid in (os.getpid(), os.getppid())] + [n for n in range(64) if os.path.lexists(f"/proc/self/fd/{n}")]\n`,
      ),
    );
    const [own, its, ...open] = (await child.invoke(1, 0)) as [string, string, ...number[]];
    t.not(own, its);
    t.deepEqual(open, [0, 1, 2, 3]);
    child.call(2, bytes("1"));
    const told = await zygote.frame((frame) => frame.type === FRAME.forkEnded && frame.id === at + 10);
    t.deepEqual(json(told.extra), end, body);
  }
});

test("python: packages, vendored modules, namespace packages, data files and metadata are found in the zip", async (t) => {
  const peer = await start(t, "python");
  peer.load(
    archive({
      "main.py":
        "import pkgutil, importlib.resources, importlib.metadata\nfrom package import inner\nfrom space.part import value\nimport token\n" +
        "def handler(event, context):\n    return [inner.name(), value, token.mine, pkgutil.get_data('package', 'data.txt').decode(), importlib.resources.files('package').joinpath('data.txt').read_text(), importlib.metadata.version('some-thing')]\n",
      "package/__init__.py": "",
      "package/inner.py": "from . import helper\ndef name():\n    return helper.NAME\n",
      "package/helper.py": "NAME = __name__\n",
      "package/data.txt": "data",
      "space/part.py": "value = 4\n",
      "token.py": "mine = True\n",
      "some_thing-1.2.dist-info/METADATA": "Name: some-thing\nVersion: 1.2\n",
    }),
  );
  await peer.frame((frame) => frame.type === FRAME.loaded || frame.type === FRAME.loadFailed);
  t.deepEqual(await peer.invoke(1, 0), ["package.helper", 4, true, "data", "data", "1.2"]);
});

test("python: compiled code of this version is used, of another version it is not", async (t) => {
  const compiled = (source: string): Uint8Array =>
    execFileSync(PYTHON, [
      "-c",
      "import sys,marshal,importlib.util as u;sys.stdout.buffer.write(u.MAGIC_NUMBER+b'\\1'+bytes(11)+marshal.dumps(compile(sys.argv[1],'main.py','exec')))",
      source,
    ]);
  const fromPyc = "def handler(event, context): return 'compiled'\n";
  const fromSource = "def handler(event, context): return 'source'\n";
  const foreign = Uint8Array.from(compiled(fromPyc));
  foreign[0] = (foreign[0] ?? 0) ^ 0xff;
  for (const [pyc, expected] of [
    [compiled(fromPyc), "compiled"],
    [foreign, "source"],
  ] as const) {
    const peer = await start(t, "python");
    peer.load(archive({ "main.py": fromSource, "main.pyc": pyc }));
    await peer.frame(isLoaded);
    t.is(await peer.invoke(1, 0), expected);
  }
});

test("python: what is not a zip, or a damaged one, is refused with a sentence", async (t) => {
  const good = archive({ "main.py": `x = """${"abc ".repeat(500)}"""\n` });
  const damaged = Uint8Array.from(good);
  damaged.fill(0xff, 45, 60);
  for (const code of [NOTHING, bytes("hello"), good.subarray(20), damaged]) {
    const peer = await start(t, "python");
    peer.load(code);
    const failed = thrown(await peer.frame((frame) => frame.type === FRAME.loadFailed));
    t.true(failed.message.length > 0, failed.type);
  }
});

test("python: a handler text names module and function; threads and tasks may ask the host at once", async (t) => {
  const source = `import asyncio, threading
async def run(event, context):
    loop = asyncio.get_running_loop()
    return sorted(await asyncio.gather(*(context.acall("f", n) for n in range(8))))
`;
  const peer = await loaded(t, "python", source, { handler: "main.run" });
  peer.call(1, NOTHING);
  const asked: Frame[] = [];
  for (let id = 1; id <= 8; id += 1) asked.push(await peer.frame((frame) => frame.type === FRAME.request && frame.id === id));
  for (const frame of asked.reverse()) peer.send(FRAME.answer, 0, frame.id, NOTHING, frame.payload);
  t.deepEqual(json((await peer.end(1)).payload), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test("python: a child that the handler forks cannot mix its own frames into the channel", async (t) => {
  const source = `import os
def handler(event, context):
    pid = os.fork()
    if pid == 0:
        print("from the child")
        return "child"
    os.waitpid(pid, 0)
    return "parent"
`;
  const peer = await loaded(t, "python", source);
  t.is(await peer.invoke(1, 0), "parent");
  t.is(await peer.invoke(2, 0), "parent");
  t.is(peer.logs(1), "");
  t.is(peer.frames.filter((frame) => frame.type === FRAME.result).length, 2);
});
