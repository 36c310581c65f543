/** Certificates for the servers of a cluster, made by openssl: an authority of the cluster's own, and one certificate per server. */
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";

const run = promisify(execFile);
/** Ten years; whoever wants less has an authority of their own. */
const DAYS = "3650";

export interface CertifiedServer {
  readonly name: string;
  readonly host: string;
}

/** Writes `ca.pem`, `ca.key`, and `<name>.pem` and `<name>.key` of each server. Rejects with Fault Unavailable where there is no openssl. */
export async function makeCertificates(directory: string, servers: readonly CertifiedServer[]): Promise<void> {
  const at = (name: string): string => join(directory, name);
  const openssl = async (...words: string[]): Promise<void> => {
    await run("openssl", words, { timeout: LIMITS.brokerProbe.value, cwd: directory }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT")
        throw new Fault("Unavailable", "certificates are made by openssl, which is not there", {
          next: "Install openssl, or leave out --tls and put certificates of your own into the configurations.",
        });
      throw new Fault("Unavailable", `openssl ${words[0]} failed: ${error.message.slice(0, 500)}`, undefined, error);
    });
  };
  const key = (file: string) => openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at(file));
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await key("ca.key");
  await openssl(
    "req",
    "-x509",
    "-new",
    "-sha256",
    "-key",
    at("ca.key"),
    "-days",
    DAYS,
    "-subj",
    "/CN=Pilotlight cluster",
    "-out",
    at("ca.pem"),
  );
  for (const { name, host } of servers) {
    const names = [isIP(host) === 0 ? `DNS:${host}` : `IP:${host}`, `DNS:${name}`, "DNS:localhost", "IP:127.0.0.1"];
    // Servers dial each other too: both uses.
    const wishes = `subjectAltName=${[...new Set(names)].join(",")}\nextendedKeyUsage=serverAuth,clientAuth\n`;
    await writeFile(at(`${name}.ext`), wishes, { mode: 0o600 });
    await key(`${name}.key`);
    await openssl("req", "-new", "-sha256", "-key", at(`${name}.key`), "-subj", `/CN=${name}`, "-out", at(`${name}.csr`));
    const signed = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", DAYS, "-extfile", at(`${name}.ext`)];
    await openssl("x509", "-req", "-sha256", "-in", at(`${name}.csr`), ...signed, "-out", at(`${name}.pem`));
    for (const left of [`${name}.ext`, `${name}.csr`]) await rm(at(left), { force: true });
  }
}
