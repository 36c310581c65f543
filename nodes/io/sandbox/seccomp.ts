/**
 * The system call filter of a box, as the raw BPF program that the kernel takes: a deny list on top of what
 * namespaces and missing capabilities forbid already. Numbers were checked against the kernel's headers.
 *
 * I1  A process of another architecture or of the x32 kind is killed: its numbers mean something else.
 * I2  Calls whose flags hide behind a pointer (clone3, io_uring) look absent, so that libraries fall back.
 */

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** [name, number on x86_64, number on aarch64]; -1 where an architecture lacks the call. */
const DENIED: readonly (readonly [string, number, number])[] = [
  ["mount", 165, 40],
  ["umount2", 166, 39],
  ["pivot_root", 155, 41],
  ["chroot", 161, 51],
  ["fsopen", 430, 430],
  ["fsconfig", 431, 431],
  ["fsmount", 432, 432],
  ["fspick", 433, 433],
  ["move_mount", 429, 429],
  ["open_tree", 428, 428],
  ["mount_setattr", 442, 442],
  ["unshare", 272, 97],
  ["setns", 308, 268],
  ["ptrace", 101, 117],
  ["process_vm_readv", 310, 270],
  ["process_vm_writev", 311, 271],
  ["process_madvise", 440, 440],
  ["pidfd_getfd", 438, 438],
  ["kcmp", 312, 272],
  ["bpf", 321, 280],
  ["perf_event_open", 298, 241],
  ["userfaultfd", 323, 282],
  ["keyctl", 250, 219],
  ["add_key", 248, 217],
  ["request_key", 249, 218],
  ["kexec_load", 246, 104],
  ["kexec_file_load", 320, 294],
  ["init_module", 175, 105],
  ["finit_module", 313, 273],
  ["delete_module", 176, 106],
  ["reboot", 169, 142],
  ["swapon", 167, 224],
  ["swapoff", 168, 225],
  ["open_by_handle_at", 304, 265],
  ["name_to_handle_at", 303, 264],
  ["acct", 163, 89],
  ["quotactl", 179, 60],
  ["quotactl_fd", 443, 443],
  ["syslog", 103, 116],
  ["iopl", 172, -1],
  ["ioperm", 173, -1],
  ["modify_ldt", 154, -1],
  ["settimeofday", 164, 170],
  ["clock_settime", 227, 112],
  ["adjtimex", 159, 171],
  ["clock_adjtime", 305, 266],
  ["personality", 135, 92],
  ["sethostname", 170, 161],
  ["setdomainname", 171, 162],
  ["fanotify_init", 300, 262],
  ["lookup_dcookie", 212, 18],
  ["move_pages", 279, 239],
  ["migrate_pages", 256, 238],
  ["vhangup", 153, 58],
  ["uselib", 134, -1],
];

const ABSENT: readonly (readonly [string, number, number])[] = [
  ["clone3", 435, 435],
  ["io_uring_setup", 425, 425],
  ["io_uring_enter", 426, 426],
  ["io_uring_register", 427, 427],
];

const ARCHITECTURES = {
  x64: { column: 1, audit: 0xc000003e, clone: 56, socket: 41, ioctl: 16 },
  arm64: { column: 2, audit: 0xc00000b7, clone: 220, socket: 198, ioctl: 29 },
} as const;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACE_FLAGS = 0x7e020000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

// Opcodes: load a word at an offset of seccomp_data, jump if equal / not below / any bit set, return.
const LOAD = 0x20;
const EQUAL = 0x15;
const AT_LEAST = 0x35;
const ANY_BIT = 0x45;
const RETURN = 0x06;
const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const FAIL = 0x00050000;
const NUMBER = 0;
const ARCHITECTURE = 4;
const FIRST_ARGUMENT = 16;
const SECOND_ARGUMENT = 24;

type Step = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

/** The filter for one architecture, or undefined where none is written. */
export function seccompFilter(architecture: string): Uint8Array | undefined {
  if (architecture !== "x64" && architecture !== "arm64") return undefined;
  const { column, audit, clone, socket, ioctl } = ARCHITECTURES[architecture];
  const steps: Step[] = [
    [LOAD, 0, 0, ARCHITECTURE],
    [EQUAL, 1, 0, audit],
    [RETURN, 0, 0, KILL],
    [LOAD, 0, 0, NUMBER],
  ];
  if (architecture === "x64") steps.push([AT_LEAST, 0, 1, 0x40000000], [RETURN, 0, 0, KILL]);
  const refuse = (rows: readonly (readonly [string, number, number])[], error: number): void => {
    for (const row of rows) {
      const number = row[column];
      if (number >= 0) steps.push([EQUAL, 0, 1, number], [RETURN, 0, 0, FAIL | error]);
    }
  };
  refuse(DENIED, EPERM);
  refuse(ABSENT, ENOSYS);
  steps.push(
    [EQUAL, 0, 4, clone],
    [LOAD, 0, 0, FIRST_ARGUMENT],
    [ANY_BIT, 0, 1, NAMESPACE_FLAGS],
    [RETURN, 0, 0, FAIL | EPERM],
    [RETURN, 0, 0, ALLOW],
  );
  const families = [1, 2, 10, 16];
  steps.push([EQUAL, 0, families.length + 3, socket], [LOAD, 0, 0, FIRST_ARGUMENT]);
  families.forEach((family, at) => {
    steps.push([EQUAL, families.length - at, 0, family]);
  });
  steps.push([RETURN, 0, 0, FAIL | EAFNOSUPPORT], [RETURN, 0, 0, ALLOW]);
  steps.push(
    [EQUAL, 0, 4, ioctl],
    [LOAD, 0, 0, SECOND_ARGUMENT],
    [EQUAL, 1, 0, TIOCSTI],
    [EQUAL, 0, 1, TIOCLINUX],
    [RETURN, 0, 0, FAIL | EPERM],
  );
  steps.push([RETURN, 0, 0, ALLOW]);
  const program = new DataView(new ArrayBuffer(steps.length * 8));
  steps.forEach(([code, jumpTrue, jumpFalse, value], index) => {
    program.setUint16(index * 8, code, true);
    program.setUint8(index * 8 + 2, jumpTrue);
    program.setUint8(index * 8 + 3, jumpFalse);
    program.setUint32(index * 8 + 4, value >>> 0, true);
  });
  return new Uint8Array(program.buffer);
}
