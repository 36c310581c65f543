/** The filter is run here by a small interpreter of the same machine that the kernel has, for both processors. */
import test from "ava";
import fc from "fast-check";
import { seccompFilter } from "../../../nodes/io/sandbox/seccomp.ts";

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const fail = (error: number): number => 0x00050000 | error;
const AUDIT = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;

function verdict(program: Uint8Array, architecture: number, number: number, first = 0, second = 0): number {
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  const data = new Map([
    [0, number],
    [4, architecture],
    [16, first],
    [24, second],
  ]);
  let accumulator = 0;
  for (let at = 0; at * 8 < program.length; at += 1) {
    const code = view.getUint16(at * 8, true);
    const value = view.getUint32(at * 8 + 4, true);
    const jump = (taken: boolean): void => {
      at += view.getUint8(at * 8 + (taken ? 2 : 3));
    };
    if (code === 0x20) accumulator = (data.get(value) ?? Number.NaN) >>> 0;
    else if (code === 0x15) jump(accumulator === value);
    else if (code === 0x35) jump(accumulator >= value);
    else if (code === 0x45) jump((accumulator & value) !== 0);
    else if (code === 0x06) return value;
    else throw new Error(`code ${code}`);
  }
  throw new Error("ran off the end");
}

for (const architecture of ["x64", "arm64"] as const) {
  const program = seccompFilter(architecture) ?? new Uint8Array();
  const run = (number: number, first = 0, second = 0): number => verdict(program, AUDIT[architecture], number, first, second);
  const numbers =
    architecture === "x64"
      ? { read: 0, mount: 165, ptrace: 101, unshare: 272, clone: 56, clone3: 435, socket: 41, ioctl: 16, execve: 59 }
      : { read: 63, mount: 40, ptrace: 117, unshare: 97, clone: 220, clone3: 435, socket: 198, ioctl: 29, execve: 221 };

  test(`F100 ${architecture}: ordinary calls pass, dangerous ones fail, those with hidden flags look absent`, (t) => {
    for (const number of [numbers.read, numbers.execve]) t.is(run(number), ALLOW);
    for (const number of [numbers.mount, numbers.ptrace, numbers.unshare]) t.is(run(number), fail(1));
    for (const number of [numbers.clone3, 425, 426, 427]) t.is(run(number), fail(38));
  });

  test(`F100 ${architecture}: clone passes for processes and threads, not for namespaces`, (t) => {
    t.is(run(numbers.clone, 17), ALLOW);
    t.is(run(numbers.clone, 0x3d0f00), ALLOW);
    for (const flag of [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
      t.is(run(numbers.clone, flag | 17), fail(1));
  });

  test(`F100 ${architecture}: only unix, inet and netlink sockets exist`, (t) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 64 }), (family) => {
        t.is(run(numbers.socket, family), [1, 2, 10, 16].includes(family) ? ALLOW : fail(97));
      }),
    );
  });

  test(`F100 ${architecture}: keys cannot be pushed into a terminal`, (t) => {
    t.is(run(numbers.ioctl, 0, 0x5412), fail(1));
    t.is(run(numbers.ioctl, 0, 0x541c), fail(1));
    t.is(run(numbers.ioctl, 0, 0x5401), ALLOW);
  });

  test(`F100 ${architecture}: every other processor's calls kill`, (t) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fffffff }), fc.nat(600), (other, number) => {
        fc.pre(other !== AUDIT[architecture]);
        t.is(verdict(program, other, number), KILL);
      }),
    );
    if (architecture === "x64") t.is(run(0x40000000 | numbers.read), KILL);
  });
}

test("F100 a processor without a filter is told, not guessed", (t) => {
  t.is(seccompFilter("riscv64"), undefined);
});
