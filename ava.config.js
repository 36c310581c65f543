// Pure tests: protocol, actors, the actors together (simulation), what the client reads and writes and the structure of the tree. They share nothing and need no process of their own.
export default {
  files: [
    "dist/test/protocol/**/*.test.js",
    "dist/test/actors/**/*.test.js",
    "dist/test/client/**/*.test.js",
    "dist/test/simulation/**/*.test.js",
    "dist/test/structure/**/*.test.js",
  ],
  timeout: "20s",
  nodeArguments: ["--enable-source-maps", "--conditions=development"],
};
