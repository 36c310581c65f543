/** The Lease port over a KV bucket: its life is that of every message in it, and what it holds is read from the leader of its stream. */
import type { NatsConnection } from "nats";
import type { Log } from "../../actors/kit/ports.ts";
import type { Lease } from "../../actors/scheduler/manager/lease.ts";
import { checked } from "../../protocol/contract.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { LeaseSchema } from "../../protocol/messages/records.ts";
import type { LeaseRecord } from "../../protocol/vocabulary.ts";
import { openBucket } from "./bucket.ts";
import { BUCKET } from "./buckets.ts";

const lease = checked(LeaseSchema);

/** Opens the leases that prepareStorage has made. Rejects with Fault Unavailable when JetStream does not answer. */
export async function openLease(nc: NatsConnection, log: Log): Promise<Lease> {
  const bucket = await openBucket<LeaseRecord>(nc, BUCKET.leases, log, { timeoutMs: LIMITS.leaseRequest.value });
  return {
    async read(of) {
      const stored = await bucket.get(of);
      return stored && { ...stored, value: lease.parse(stored.value) };
    },
    create: (of, record) => bucket.create(of, record),
    update: (of, record, revision) => bucket.update(of, record, revision),
    delete: (of, revision) => bucket.remove(of, revision),
  };
}
