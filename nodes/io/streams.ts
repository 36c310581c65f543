/** What the broker says of everything that Pilotlight stores there, for `pilot doctor`. */
import type { Connected } from "./nats.ts";

export interface StreamView {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** 0: without a bound. */
  readonly limitBytes: number;
  /** Copies that are wished for. */
  readonly replicas: number;
  /** Name of the server that leads it; undefined when nobody does, or when the server is alone. */
  readonly leader: string | undefined;
  readonly followers: readonly { readonly name: string; readonly current: boolean; readonly offline: boolean; readonly lag: number }[];
  readonly isClustered: boolean;
}

/** Streams, buckets and object stores of ours, by name. Rejects where the credential may not ask. */
export async function viewStreams({ nc }: Pick<Connected, "nc">): Promise<StreamView[]> {
  const manager = await nc.jetstreamManager();
  const found: StreamView[] = [];
  for await (const { config, state, cluster } of manager.streams.list()) {
    if (!/^(?:KV_pilot_|OBJ_pilot_|PILOT_)/.test(config.name)) continue;
    found.push({
      name: config.name,
      messages: state.messages,
      bytes: state.bytes,
      limitBytes: Math.max(0, config.max_bytes),
      replicas: config.num_replicas,
      leader: cluster?.leader || undefined,
      followers: (cluster?.replicas ?? []).map(({ name, current, offline, lag }) => ({
        name,
        current,
        offline: offline === true,
        lag: lag ?? 0,
      })),
      // A server that is alone has no name of a cluster.
      isClustered: (cluster?.name ?? "") !== "",
    });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
