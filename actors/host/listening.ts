/** What a host hears: orders, questions and grants, that it was declared lost, that its spawner died. */
import { hostLost } from "../../protocol/messages/host.ts";
import { SUBJECT } from "../../protocol/subjects.ts";
import type { Subscription } from "../kit/bus.ts";
import { serveControl } from "./control.ts";
import { Orders } from "./orders.ts";
import type { Life, Parts } from "./parts.ts";
import type { HostDescription, HostPorts } from "./ports.ts";

/** Listens from now on, for the host of that name; calls that come directly are the desk's. Gives what has to be stopped in the end. */
export function listen(ports: HostPorts, host: string, parts: Parts, life: Life, describe: () => HostDescription): Subscription[] {
  const { bus, control, clock, log, sandbox } = ports;
  const {
    announcements,
    counters,
    desk,
    handOn,
    instances,
    pool,
    records,
    replies,
    reports,
    runner,
    slots,
    stamp,
    supply,
    unfinished,
    versions,
  } = parts;
  const isTaking = (): boolean => life.isTaking();
  const orders = new Orders({
    clock,
    log,
    stamp,
    slots,
    supply,
    versions,
    runner,
    replies,
    counters,
    handOn,
    isTaking,
    isPilingUp: (now) => parts.isPilingUp(now),
    taken: (call) => reports.taken(call),
    refused: () => announcements.flush(),
  });
  sandbox.onSpawnerLost(() => {
    counters.add("spawner.lost");
    log.error("the spawner died and was replaced", { host });
    pool.refill();
  });
  return [
    bus.listen(SUBJECT.host(host), {}, (message) => orders.arrived(message)),
    control.hear(hostLost, [host], (said) => {
      if (said.epoch === life.epoch) announcements.declaredLost();
    }),
    ...serveControl({
      host,
      control,
      desk,
      slots,
      supply,
      instances,
      versions,
      runner,
      records,
      pool,
      announce: () => announcements.flush(),
      isTaking,
      isCordoned: () => life.isCordoned(),
      cordon: (cordoned) => life.cordon(cordoned),
      dismiss: (waitMs) => life.dismiss(waitMs),
      left: () => unfinished.count,
      describe,
    }),
  ];
}
