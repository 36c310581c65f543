/** A caller of the chaos: on which server it sits, and when it was away. */
import { Events } from "nats";
import type { Connected } from "../../nodes/io/nats.ts";

export interface Away {
  readonly leftAt: number;
  readonly backAt: number;
}

export interface Seat {
  readonly connected: Connected;
  /** host:port of its server now. */
  readonly server: string;
  /** Each time that it was away. */
  readonly aways: readonly Away[];
  /** When it noticed that its connection was lost and when it was back, of the first time after that moment. */
  awayAfter(at: number): readonly [leftAt: number, backAt: number];
}

export function takeSeat(connected: Connected): Seat {
  const { nc } = connected;
  const aways: { readonly leftAt: number; backAt: number }[] = [];
  void (async () => {
    for await (const { type } of nc.status()) {
      const now = performance.now();
      if (type === Events.Disconnect) aways.push({ leftAt: now, backAt: Number.POSITIVE_INFINITY });
      const last = aways.at(-1);
      if (type === Events.Reconnect && last !== undefined) last.backAt = now;
    }
  })();
  return {
    connected,
    aways,
    get server() {
      return nc.getServer();
    },
    awayAfter(at) {
      const first = aways.find(({ leftAt }) => leftAt >= at);
      return first === undefined ? [at, at] : [first.leftAt, first.backAt];
    },
  };
}
