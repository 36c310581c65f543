// Pure tests: protocol and actors. They share nothing and need no process of their own.
export default {
  files: ["dist/test/protocol/**/*.test.js", "dist/test/actors/**/*.test.js"],
  timeout: "20s",
  nodeArguments: ["--enable-source-maps", "--conditions=development"],
};
