"use strict";
/**
 * Turns a `load` frame into a handler: sets the environment, runs the one CommonJS text that deploy made,
 * and finds the function that the handler text names.
 */
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");
const { isBuiltin } = require("node:module");

/** The name under which the code appears in stacks; the host's source map goes by it. */
const SCRIPT = "function.cjs";
const HEAD = "(function (exports, require, module, __filename, __dirname) {";
const TAIL = "\n})";
const BASIC = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/tmp", TMPDIR: "/tmp", LANG: "C.UTF-8", TZ: "UTC" };

/** Leaves nothing of the environment that the process was started with. */
function clearEnvironment() {
  for (const key of Object.keys(process.env)) if (!Object.hasOwn(BASIC, key)) delete process.env[key];
  for (const key of Object.keys(BASIC))
    if (key !== "PATH" || !process.env.PATH) if (process.env[key] !== BASIC[key]) process.env[key] = BASIC[key];
}

function setEnvironment(load) {
  const env = process.env;
  env.PILOT_ACCOUNT = load.account;
  env.PILOT_FUNCTION = load.function;
  env.PILOT_VERSION = String(load.version);
  env.PILOT_MEMORY_MB = String(load.memoryMb);
  for (const key of Object.keys(load.environment)) env[key] = load.environment[key];
}

function notBundled(id) {
  const error = new Error(
    `Cannot find module '${id}': everything but Node's own modules is bundled at deploy, so a name that is only known at run time cannot be required`,
  );
  error.code = "MODULE_NOT_FOUND";
  return error;
}

function builtinRequire(id) {
  if (typeof id === "string" && isBuiltin(id)) return require(id);
  throw notBundled(id);
}
builtinRequire.resolve = (id) => {
  if (isBuiltin(id)) return id;
  throw notBundled(id);
};
builtinRequire.cache = Object.create(null);
builtinRequire.main = undefined;

function handlerIn(exported, text) {
  const name = text.slice(text.lastIndexOf(".") + 1);
  const holder = (typeof exported === "object" || typeof exported === "function") && exported !== null ? exported : {};
  if (typeof holder[name] === "function") return holder[name];
  // module.exports = handler
  if (name === "handler" && typeof exported === "function") return exported;
  const names = Object.keys(holder);
  const there = names.length === 0 ? "the module exports nothing" : `the module exports: ${names.slice(0, 50).join(", ")}`;
  const what = holder[name] === undefined ? `there is no export "${name}"` : `the export "${name}" is not a function`;
  const error = new Error(`${what}; ${there}`);
  error.name = "HandlerNotFound";
  error.stack = undefined;
  throw error;
}

/**
 * Runs the code and returns {handler, fresh}: `fresh` is cached data for the next container when what came
 * with the code was missing or refused by this V8, else null. Throws what the code throws.
 */
function run(load, payload) {
  setEnvironment(load);
  const cachedData = load.cachedBytes > 0 ? payload.subarray(0, load.cachedBytes) : undefined;
  const code = load.file === undefined ? payload.utf8Slice(load.cachedBytes) : fs.readFileSync(load.file, "utf8");
  const script = new vm.Script(HEAD + code + TAIL, {
    filename: SCRIPT,
    columnOffset: -HEAD.length,
    cachedData,
    importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const file = load.file ?? `/${SCRIPT}`;
  const module = { exports: {}, id: ".", filename: file, loaded: false, children: [], paths: [] };
  script.runInThisContext().call(module.exports, module.exports, builtinRequire, module, file, path.dirname(file));
  module.loaded = true;
  const handler = handlerIn(module.exports, load.handler);
  return { handler, fresh: cachedData === undefined || script.cachedDataRejected ? script.createCachedData() : null };
}

module.exports = { clearEnvironment, run };
