/**
 * Compiles Python sources with this machine's python3, in one short-lived process that reads only its stdin.
 *
 * P1  No user code runs: sources are compiled, never imported, and the process cannot import from the user's directory.
 * P2  Hostile source costs bounded time and memory; a compiler that it kills is a BadCode, not a fault of ours.
 */
import { spawn } from "node:child_process";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { shown } from "./bundle.ts";
import type { Complaint } from "./complaint.ts";

export interface Source {
  /** Relative, as it stands in the zip and in tracebacks. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Compiled {
  /** Compiled code under the name of its source. */
  readonly code: readonly Source[];
  readonly complaints: readonly Complaint[];
  /** True when the main module is known not to define the handler. */
  readonly handlerMissing: boolean;
  /** Why nothing was compiled: no python3 here. */
  readonly missing?: string;
}

/**
 * In: a JSON line {main, handler}, then for each source u32 length, name, u32 length, bytes. Out: "PYC1", then for each
 * source a tag (0 code, 1 complaint in JSON), u32 length, bytes; at last tag 2 with JSON {handlerMissing}.
 */
const SCRIPT = `
import sys
sys.path = [p for p in sys.path if p]
import json, marshal, struct, resource, importlib.util, _imp
for kind, amount in ((resource.RLIMIT_AS, 1 << 31), (resource.RLIMIT_CPU, ${Math.ceil(LIMITS.bundleTime.value / 1000)}), (resource.RLIMIT_CORE, 0)):
    try: resource.setrlimit(kind, (amount, amount))
    except (ValueError, OSError): pass
given, out = sys.stdin.buffer, sys.stdout.buffer
def take():
    head = given.read(4)
    return None if len(head) < 4 else given.read(struct.unpack(">I", head)[0])
def put(tag, data):
    out.write(struct.pack(">BI", tag, len(data)) + data)
    out.flush()
order = json.loads(given.readline())
out.write(b"PYC1")
missing = False
UNSURE = {"globals", "locals", "vars", "exec", "eval", "setattr", "sys", "__getattr__", "__dict__", "__import__", "import_module"}
while True:
    name = take()
    if name is None: break
    source, name = take(), name.decode()
    try:
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
        put(0, importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + importlib.util.source_hash(source) + marshal.dumps(code))
        if name == order["main"]:
            names = set(code.co_names)
            missing = order["handler"] not in names and not names & UNSURE and ("*",) not in code.co_consts
    except SyntaxError as e:
        put(1, json.dumps({"what": type(e).__name__ + ": " + str(e.msg), "line": e.lineno, "column": e.offset, "text": (e.text or "")[:10000]}).encode())
    except Exception as e:
        put(1, json.dumps({"what": type(e).__name__ + ": " + (str(e)[:300] or "the code cannot be compiled")}).encode())
put(2, json.dumps({"handlerMissing": missing}).encode())
`;

const MOST_OUTPUT = 4 * LIMITS.bundle.value;

/** Compiles all of them. Throws Fault BadCode only when the compiler died or took too long. */
export async function compilePython(sources: readonly Source[], main: string, handler: string): Promise<Compiled> {
  const { out, errors, ended } = await run(input(sources, main, handler));
  if (out.subarray(0, 4).toString("latin1") !== "PYC1") {
    return {
      code: [],
      complaints: [],
      handlerMissing: false,
      missing: `python3 does not run on this machine (${shown(errors.trim().split("\n", 1)[0] || ended)})`,
    };
  }
  const code: Source[] = [];
  const complaints: Complaint[] = [];
  let at = 4;
  for (const { name } of sources) {
    const part = cut(out, at);
    if (part === undefined) throw new Fault("BadCode", `${shown(name)} cannot be compiled: the Python compiler ended (${shown(ended)}).`);
    if (part.tag === 0) code.push({ name, bytes: part.bytes });
    else complaints.push(complaintOf(name, part.bytes));
    at = part.end;
  }
  const last = cut(out, at);
  const verdict = last?.tag === 2 ? (JSON.parse(last.bytes.toString()) as { handlerMissing?: unknown }) : {};
  return { code, complaints, handlerMissing: verdict.handlerMissing === true };
}

function input(sources: readonly Source[], main: string, handler: string): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`${JSON.stringify({ main, handler })}\n`)];
  for (const { name, bytes } of sources) {
    for (const field of [Buffer.from(name), bytes]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      parts.push(length, field);
    }
  }
  return Buffer.concat(parts);
}

function cut(out: Buffer, at: number): { tag: number; bytes: Buffer; end: number } | undefined {
  if (out.length < at + 5) return undefined;
  const end = at + 5 + out.readUInt32BE(at + 1);
  return end > out.length ? undefined : { tag: out.readUInt8(at), bytes: out.subarray(at + 5, end), end };
}

function complaintOf(file: string, bytes: Buffer): Complaint {
  const { what, line, column, text } = JSON.parse(bytes.toString()) as {
    what: string;
    line?: number | null;
    column?: number | null;
    text?: string;
  };
  if (typeof line !== "number") return { what, file };
  return {
    what,
    file,
    line,
    column: typeof column === "number" && column > 0 ? column : 1,
    ...(text && { text: text.split(/\r?\n/, 1)[0] ?? "" }),
  };
}

/** Runs the compiler; `ended` says in words how it ended. Never rejects. */
function run(data: Buffer): Promise<{ out: Buffer; errors: string; ended: string }> {
  return new Promise((resolve) => {
    // Not -I: that would also ignore the hash seed, on which the order of constants depends.
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PYTHON")));
    const child = spawn("python3", ["-s", "-S", "-B", "-W", "ignore", "-c", SCRIPT], {
      cwd: "/",
      env: { ...environment, PYTHONHASHSEED: "0" },
      stdio: "pipe",
    });
    const out: Buffer[] = [];
    let bytes = 0;
    let errors = "";
    let slow = false;
    const timer = setTimeout(() => {
      slow = true;
      child.kill("SIGKILL");
    }, LIMITS.bundleTime.value);
    const finish = (ended: string) => {
      clearTimeout(timer);
      resolve({ out: Buffer.concat(out), errors, ended });
    };
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MOST_OUTPUT) child.kill("SIGKILL");
      else out.push(chunk);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      if (errors.length < 2_000) errors += chunk.toString();
    });
    // A compiler that died early no longer reads; its end is told by `close`.
    child.stdin.on("error", () => undefined);
    child.on("error", (thrown) => finish("code" in thrown && thrown.code === "ENOENT" ? "there is none" : thrown.message));
    child.on("close", (code, signal) =>
      finish(slow ? `it took longer than ${LIMITS.bundleTime.value / 1000} s` : signal === null ? `exit code ${code}` : `signal ${signal}`),
    );
    child.stdin.end(data);
  });
}
