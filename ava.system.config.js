// Tests with real processes: a broker of their own on a free port, real sandboxes, signals. One file at a time.
export default {
  files: ["dist/test/nodes/**/*.test.js", "dist/test/cli/**/*.test.js", "dist/test/system/**/*.test.js"],
  timeout: "90s",
  workerThreads: false,
  concurrency: 1,
  nodeArguments: ["--enable-source-maps"],
};
