/** One moleculer node on our broker: makes the service broker for both ends, and runs as the serving end by itself. */
const { createRequire } = require("node:module");
const { join } = require("node:path");

/** `directory` holds the installed packages. The fastest settings that moleculer documents for a plain call. */
exports.open = function open(directory, { servers, user, pass }, nodeID) {
  const { ServiceBroker } = createRequire(join(directory, "package.json"))("moleculer");
  return new ServiceBroker({
    nodeID,
    logger: false,
    metrics: false,
    tracing: false,
    requestTimeout: 10_000,
    registry: { preferLocal: false },
    transporter: { type: "NATS", options: { servers: [servers], user, pass } },
  });
};

if (require.main === module) {
  const broker = exports.open(process.argv[2], JSON.parse(process.env.PEER_BROKER), "bench-echo");
  broker.createService({ name: "bench", actions: { echo: (context) => context.params } });
  broker.start().then(() => process.stdout.write("listening\n"));
}
