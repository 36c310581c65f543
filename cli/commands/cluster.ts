/** `pilot cluster`: several nats-servers as one broker. */
import { localCommand, noun } from "../command.ts";
import { line } from "../context.ts";
import { defined } from "../defined.ts";
import { badChoice, cureOf, Usage } from "../failure.ts";
import { argument, JSON_FLAG, on, text, value, valueOr } from "../flags.ts";
import { answer } from "../output.ts";

const init = localCommand({
  brief: "Write the configuration of a cluster of nats-servers, and the credentials for it",
  details:
    "One configuration per server, one NATS context per role of nodes and one for the operator, with passwords made now, and a README\nthat says what goes where. A server's port for the others is 2000 above that for clients. Three servers go on when one dies.",
  examples: [
    "pilot cluster init cluster --brokers nats-1,nats-2,nats-3",
    "pilot cluster init cluster --brokers 10.0.0.1:4222,10.0.0.2:4222,10.0.0.3:4222 --storage /srv/nats --tls",
  ],
  flags: {
    brokers: value(text, "HOST[:PORT][,…]", "the servers, as nodes reach them; needed"),
    storage: valueOr(text, "DIR", "/var/lib/nats", "where servers keep their data, each in a directory of its name"),
    tls: on("make certificates too; needs openssl"),
    tlsAt: value(text, "DIR", "where a server finds its certificates; default: where they are made"),
    force: on("write over what is in the directory, with new passwords"),
    ...JSON_FLAG,
  },
  args: [argument(text, "DIR", "where to write; made when missing")],
  action: async (cli, flags, directory) => {
    const { brokerAddress, writeCluster } = await import("../../nodes/io/broker/cluster-files.ts");
    if (flags.brokers === undefined) throw new Usage("--brokers names the servers: HOST[:PORT], several with commas");
    try {
      const brokers = flags.brokers.split(",").map((one) => brokerAddress(one.trim()));
      const written = await writeCluster({
        directory,
        brokers,
        storage: flags.storage,
        tls: flags.tls,
        force: flags.force,
        ...defined({ tlsAt: flags.tlsAt }),
      });
      await answer(cli, flags.json, written, () => {
        line(cli, `Written to ${written.directory}: README.md says what goes where.`);
        for (const config of written.configs) line(cli, `server   nats-server -c ${config}`);
        line(cli, `nodes    ${cli.program} node run --roles frontend,scheduler,host --contexts ${written.directory}/contexts`);
        line(cli, `operator ${cli.program} doctor --context ${written.contexts["operator"] ?? ""}`);
      });
    } catch (thrown) {
      throw badChoice(thrown) ? new Usage(thrown.message, cureOf(thrown)) : thrown;
    }
  },
});

export const cluster = noun("Several nats-servers as one broker", ["pilot cluster init cluster --brokers nats-1,nats-2,nats-3"], { init });
