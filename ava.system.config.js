/** Files that wait most of their time begin first, so that the last ones to end are short. */
const LONG_FIRST = ["/system/", "/sandbox/", "/nodes/", "/cli/"];
const rank = (file) => LONG_FIRST.findIndex((part) => file.includes(part));

// Tests with real processes: a broker of their own on a free port, real sandboxes, signals. They wait more than they work: two files at a time.
export default {
  files: ["dist/test/nodes/**/*.test.js", "dist/test/cli/**/*.test.js", "dist/test/system/**/*.test.js"],
  // Without any news for so long: every wait in a test has a deadline of its own, and ava's TAP reporter breaks when this one passes.
  timeout: "5m",
  workerThreads: false,
  concurrency: 2,
  sortTestFiles: (a, b) => rank(a) - rank(b) || a.localeCompare(b),
  nodeArguments: ["--enable-source-maps"],
};
