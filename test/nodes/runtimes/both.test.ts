import test from "ava";
import { FRAME, LOG_STREAM } from "../../../protocol/frames.ts";
import { BODY_LIMIT, LIMITS } from "../../../protocol/limits.ts";
import { bundle, json, type Language, loaded, NOTHING, start, text, thrown } from "./drive.ts";

const LANGUAGES: readonly Language[] = ["node", "python"];
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The same function in both languages. */
const ECHO = {
  node: "exports.handler = (event) => event instanceof Uint8Array ? event : { got: event };",
  python: "def handler(event, context):\n    return event if isinstance(event, bytes) else {'got': event}\n",
};
const SLOW_ECHO = {
  node: "exports.handler = async (event) => { await new Promise((done) => setTimeout(done, 5)); return event; };",
  python: "import asyncio\nasync def handler(event, context):\n    await asyncio.sleep(0.005)\n    return event\n",
};

for (const language of LANGUAGES) {
  test(`F021 ${language}: a call that arrives with its code waits for it, and calls end in order`, async (t) => {
    const peer = await start(t, language);
    peer.load(bundle(language, SLOW_ECHO[language]));
    for (let id = 1; id <= 5; id += 1) peer.call(id, bytes(String(id)));
    for (let id = 1; id <= 5; id += 1) t.is(json((await peer.end(id)).payload), id);
    const ends = peer.frames.filter((frame) => frame.type === FRAME.loaded || frame.type === FRAME.result).map((frame) => frame.id);
    t.deepEqual(ends, [0, 1, 2, 3, 4, 5]);
  });

  test(`${language}: JSON arrives parsed and anything else as untouched bytes`, async (t) => {
    const peer = await loaded(t, language, ECHO[language]);
    for (const [at, value] of [{ a: [1, null, "ü"] }, "text", 0, false, null, []].entries()) {
      peer.call(at + 1, bytes(JSON.stringify(value)));
      const end = await peer.end(at + 1);
      t.is(end.flags, 1);
      t.deepEqual(json(end.payload), { got: value });
    }
    const raw = [
      NOTHING,
      bytes("hello"),
      bytes("{half"),
      Uint8Array.of(0x22, 0xff, 0x22),
      Uint8Array.of(0, 1, 2),
      bytes("NaN"),
      bytes(" "),
    ];
    for (const [at, body] of raw.entries()) {
      peer.call(100 + at, body);
      const end = await peer.end(100 + at);
      t.is(end.type, FRAME.result);
      t.is(end.flags, 0);
      t.deepEqual(Buffer.from(end.payload), Buffer.from(body));
    }
  });

  test(`${language}: a body of several megabytes comes and goes whole`, async (t) => {
    const peer = await loaded(t, language, ECHO[language]);
    const body = new Uint8Array(BODY_LIMIT).map((_, at) => (at * 31) & 0xff);
    peer.call(1, body);
    t.true(Buffer.from((await peer.end(1)).payload).equals(body));
  });

  test(`${language}: frames may arrive in pieces of any size`, async (t) => {
    const peer = await loaded(t, language, ECHO[language]);
    const head = Buffer.alloc(12 + 9 + 5);
    head.set([FRAME.call, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 5]);
    head.writeDoubleBE(Date.now() + 1000, 12);
    head.write("c[12]", 20);
    head.write("[1,2]", 21);
    for (const byte of head) {
      peer.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.deepEqual(json((await peer.end(1)).payload), { got: [1, 2] });
  });

  const bad = {
    node: {
      cycle: "const a = {}; a.a = a; return a;",
      "a function": "return () => 1;",
      "a BigInt": "return 1n;",
      "a throwing toJSON": "return { toJSON() { throw new Error('no'); } };",
      "more than a body": `return Buffer.alloc(${LIMITS.largeBody.value} + 1);`,
      "more than a body as JSON": `return "x".repeat(${LIMITS.largeBody.value});`,
    },
    python: {
      cycle: "a = {}; a['a'] = a; return a",
      "a function": "return print",
      "a set": "return {1}",
      NaN: "return float('nan')",
      "more than a body": `return bytes(${LIMITS.largeBody.value} + 1)`,
      "more than a body as JSON": `return "x" * ${LIMITS.largeBody.value}`,
    },
  }[language];
  for (const [what, body] of Object.entries(bad)) {
    test(`${language}: a result that is ${what} is a BadResult with a plain message, and the next call works`, async (t) => {
      const source =
        language === "node"
          ? `exports.handler = (event) => { if (event === 1) { ${body} } return event; };`
          : `def handler(event, context):\n    if event == 1:\n        ${body}\n    return event\n`;
      const peer = await loaded(t, language, source);
      peer.call(1, bytes("1"));
      const end = await peer.end(1);
      t.is(end.type, FRAME.failed);
      t.is(end.flags, 1);
      t.regex(thrown(end).message, /^the result /);
      t.is(thrown(end).type, what.startsWith("more than") ? "ResultTooLarge" : "BadResult");
      t.is(await peer.invoke(2, 5), 5);
    });
  }

  test(`${language}: nothing returned is JSON null`, async (t) => {
    const peer = await loaded(t, language, language === "node" ? "exports.handler = () => {};" : "def handler(event, context): pass\n");
    t.is(await peer.invoke(1, 0), null);
  });

  test(`${language}: what a handler throws, sync or async, arrives with type, message and its own stack`, async (t) => {
    const sources = {
      node: [
        "exports.handler = (event) => { throw new TypeError('bad ' + event); };",
        "exports.handler = async (event) => { await null; throw new TypeError('bad ' + event); };",
      ],
      python: [
        "def handler(event, context):\n    raise TypeError('bad ' + str(event))\n",
        "import asyncio\nasync def handler(event, context):\n    await asyncio.sleep(0)\n    raise TypeError('bad ' + str(event))\n",
      ],
    }[language];
    for (const source of sources) {
      const peer = await loaded(t, language, source);
      peer.call(1, bytes("3"));
      const end = await peer.end(1);
      t.is(end.flags, 0);
      t.is(thrown(end).type, "TypeError");
      t.is(thrown(end).message, "bad 3");
      t.regex(thrown(end).stack ?? "", language === "node" ? /function\.cjs:1:/ : /main\.py", line \d/);
      t.notRegex(thrown(end).stack ?? "", /bootstrap|pilot_runtime|node:internal/);
    }
  });

  test(`${language}: hostile exceptions are described in bounds`, async (t) => {
    const source = {
      node: `const things = [
          () => null, () => "text", () => ({ code: 1 }), () => new Error("x".repeat(20e6)), () => new Error("\\u0001".repeat(40000)),
          () => Object.defineProperty(new Error("e"), "message", { get() { throw new Error("gotcha"); } }),
          () => new Proxy({}, { get() { throw 1; } }), () => Symbol("s"),
        ];
        exports.handler = (event) => { throw things[event](); };`,
      python: `class Rude(Exception):
    def __str__(self):
        raise KeyboardInterrupt()
def deep(n):
    return deep(n + 1)
class Named(BaseException):
    pass
things = [lambda: Rude(), lambda: Exception("x" * 20000000), lambda: Exception("\\x01" * 40000), lambda: Exception("\\ud800"), lambda: Named("n"), lambda: deep(0), lambda: KeyboardInterrupt(), lambda: Exception()]
def handler(event, context):
    raise things[event]()
`,
    }[language];
    const peer = await loaded(t, language, source);
    for (let id = 0; id < 8; id += 1) {
      peer.call(id + 1, bytes(String(id)));
      const end = await peer.end(id + 1);
      t.is(end.type, FRAME.failed);
      t.true(end.extra.length <= LIMITS.frameExtra.value);
      t.is(typeof thrown(end).type, "string");
      t.true(Buffer.byteLength(thrown(end).message) <= 8192);
    }
  });

  test(`${language}: code that cannot be loaded says why, and calls that wait for it fail`, async (t) => {
    const cases = {
      node: ["syntax error here", "throw new RangeError('at load');", "exports.other = () => 1; exports.more = 2;", "require('leftpad');"],
      python: ["syntax error here", "raise ValueError('at load')", "def other(event, context): pass\n", "import leftpad"],
    }[language];
    const expected = {
      node: [/SyntaxError/, /RangeError at load/, /no export "handler".*other, more/, /Cannot find module 'leftpad'/],
      python: [/SyntaxError/, /ValueError at load/, /"handler" does not exist.*other/, /ModuleNotFoundError No module named 'leftpad'/],
    }[language];
    for (const [at, source] of cases.entries()) {
      const peer = await start(t, language);
      peer.load(bundle(language, source));
      peer.call(1, NOTHING);
      const failed = thrown(await peer.frame((frame) => frame.type === FRAME.loadFailed));
      t.regex(`${failed.type} ${failed.message}`, expected[at] as RegExp);
      t.is((await peer.end(1)).type, FRAME.failed);
    }
  });

  test(`F099 ${language}: output is tied to its call, ends before the result, and unfinished lines come too`, async (t) => {
    const source = {
      node: "console.log('loading'); exports.handler = (event, context) => { console.log('out', event); console.error('err'); process.stdout.write('no newline'); context.log.info('hello', { a: 1n === 1 }); return 1; };",
      python:
        "import sys\nprint('loading')\ndef handler(event, context):\n    print('out', event)\n    print('err', file=sys.stderr)\n    print('no newline', end='')\n    context.log.info('hello', {'a': False})\n    return 1\n",
    }[language];
    const peer = await loaded(t, language, source);
    await peer.invoke(1, 1);
    await peer.invoke(2, 2);
    t.is(peer.logs(0), "loading\n");
    t.is(peer.logs(2, LOG_STREAM.stdout), "out 2\nno newline\n");
    t.is(peer.logs(2, LOG_STREAM.stderr), "err\n");
    const line = JSON.parse(peer.logs(2, LOG_STREAM.log)) as Record<string, unknown>;
    t.like(line, { level: "info", msg: "hello", a: false });
    const last = peer.frames.findLastIndex((frame) => frame.type === FRAME.log && frame.id === 2);
    t.true(last < peer.frames.findIndex((frame) => frame.type === FRAME.result && frame.id === 2));
  });

  test(`${language}: endless output of a call is cut and said so, and the next call prints again`, async (t) => {
    const source = {
      node: "exports.handler = (event) => { for (let i = 0; i < event; i += 1) console.log('x'.repeat(999)); process.stdout.write('y'.repeat(event * 1e4)); return 1; };",
      python:
        "import sys\ndef handler(event, context):\n    for i in range(event):\n        print('x' * 999)\n    sys.stdout.write('y' * event * 10000)\n    return 1\n",
    }[language];
    const peer = await loaded(t, language, source);
    await peer.invoke(1, 3000);
    const logs = peer.logs(1);
    t.true(logs.length <= LIMITS.logPerCall.value + 100);
    t.true(logs.endsWith("… output truncated\n"));
    await peer.invoke(2, 1);
    t.true(peer.logs(2).startsWith("xxx"));
    t.true(peer.logs(2).length < LIMITS.logLine.value + 1100, "a line of 10 KB is cut");
  });

  test(`${language}: the environment is a basic one with what the function was given`, async (t) => {
    const source = {
      node: "exports.handler = () => ({ ...process.env });",
      python: "import os\ndef handler(event, context):\n    return dict(os.environ)\n",
    }[language];
    const peer = await loaded(t, language, source, { environment: { COLOUR: "red", LANG: "C" } });
    const { PATH: _, ...rest } = (await peer.invoke(1, 0)) as Record<string, string>;
    t.deepEqual(rest, {
      HOME: "/tmp",
      TMPDIR: "/tmp",
      TZ: "UTC",
      LANG: "C",
      COLOUR: "red",
      PILOT_ACCOUNT: "main",
      PILOT_FUNCTION: "f",
      PILOT_VERSION: "7",
      PILOT_MEMORY_MB: "128",
    });
  });

  test(`${language}: context tells the call, the function and the time that is left`, async (t) => {
    const source = {
      node: "exports.handler = (event, c) => [c.callId, c.awsRequestId, c.functionName, c.functionVersion, c.account, c.memoryLimitInMB, c.deadline, c.getRemainingTimeInMillis() > 1000];",
      python:
        "def handler(event, c):\n    return [c.call_id, c.aws_request_id, c.function_name, c.function_version, c.account, c.memory_limit_in_mb, c.deadline, c.get_remaining_time_in_millis() > 1000]\n",
    }[language];
    const peer = await loaded(t, language, source);
    const deadline = Date.now() + 60_000;
    peer.call(4, NOTHING, deadline);
    t.deepEqual(json((await peer.end(4)).payload), ["call-4", "call-4", "f", "7", "main", 128, deadline, true]);
  });

  test(`${language}: context.call, publish and kv travel as requests, and refusals arrive as errors by name`, async (t) => {
    const source = {
      node: `exports.handler = async (event, c) => {
          const answer = await c.call("other", { n: event });
          await c.publish("a.b", Buffer.from("raw"));
          await c.kv.put("k", "v");
          const missing = await c.kv.get("none");
          try { await c.call("gone"); } catch (error) { return [answer, missing === undefined, error.name, error.code, error.message]; }
        };`,
      python: `def handler(event, c):
    answer = c.call("other", {"n": event})
    c.publish("a.b", b"raw")
    c.kv.put("k", "v")
    missing = c.kv.get("none")
    try:
        c.call("gone")
    except Exception as error:
        return [answer, missing is None, error.name, error.code, str(error)]
`,
    }[language];
    const peer = await loaded(t, language, source);
    peer.call(9, bytes("3"));
    const answer = async (at: number, flags: number, payload: string): Promise<[unknown, string]> => {
      const asked = await peer.frame((frame) => frame.type === FRAME.request && frame.id === at);
      peer.send(FRAME.answer, flags, at, NOTHING, bytes(payload));
      return [json(asked.extra), text(asked.payload)];
    };
    t.deepEqual(await answer(1, 0, '{"ok":true}'), [{ kind: "call", call: 9, function: "other" }, '{"n":3}']);
    t.deepEqual(await answer(2, 0, ""), [{ kind: "publish", call: 9, subject: "a.b" }, "raw"]);
    t.deepEqual(await answer(3, 0, ""), [{ kind: "kv.put", call: 9, key: "k" }, '"v"']);
    t.deepEqual(await answer(4, 1, '{"name":"NotFound","message":"no"}'), [{ kind: "kv.get", call: 9, key: "none" }, ""]);
    t.deepEqual(await answer(5, 1, '{"name":"FunctionNotFound","message":"no gone"}'), [{ kind: "call", call: 9, function: "gone" }, ""]);
    t.deepEqual(json((await peer.end(9)).payload), [{ ok: true }, true, "FunctionNotFound", "FunctionNotFound", "no gone"]);
  });

  test(`${language}: exit inside a handler ends the process with its code after its output has left`, async (t) => {
    const source = {
      node: "exports.handler = () => { process.stdout.write('last words'); process.exit(3); };",
      python: "import sys\ndef handler(event, context):\n    print('last words', end='')\n    sys.exit(3)\n",
    }[language];
    const peer = await loaded(t, language, source);
    peer.call(1, NOTHING);
    t.deepEqual(await peer.exited, { code: 3, signal: null });
    await peer.frame((frame) => frame.type === FRAME.log);
    t.is(peer.logs(1), "last words\n");
  });

  test(`F099 ${language}: a line of context.log after its call has ended belongs to no call`, async (t) => {
    const source = {
      node: "let kept; exports.handler = (event, c) => { kept ??= c; kept.log.warn('from ' + event); };",
      python: "kept = []\ndef handler(event, c):\n    kept.append(c)\n    kept[0].log.warn('from ' + str(event))\n",
    }[language];
    const peer = await loaded(t, language, source);
    await peer.invoke(1, 1);
    await peer.invoke(2, 2);
    t.regex(peer.logs(1), /from 1/);
    t.is(peer.logs(2), "");
    t.regex(peer.logs(0), /from 2/);
  });

  test(`${language}: a container ends when its host is gone`, async (t) => {
    const peer = await loaded(t, language, ECHO[language]);
    peer.close();
    t.is((await peer.exited).signal, null);
  });
}
