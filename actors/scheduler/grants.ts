/**
 * Grants: the right of a host to answer a function's public subject directly. The leader of class `busy` alone gives them.
 *
 * G1  Only a function whose calls need no decision gets one: busy, direct, live alias at one version, account active.
 * G2  A grant carries the registry revision as its epoch, and its order the leader's: of two, the newer record is right, and of one
 *     record the newer leader. A leader tells its epoch to every host, again and again, so that an older one is refused everywhere.
 * G3  A change that makes grants void is answered only when every host has left, or its grant has run out. Each scheduler recalls what
 *     it gave, also when it leads no more. What one gave that died, or led before, is not known: every host that runs the function is
 *     asked then, and one that does not answer is waited for until what such a one gave last has run out.
 * G4  A host that refuses an order because of a newer leader ends this one's leadership.
 */

import { LIMITS } from "../../protocol/limits.ts";
import { type Grant, grantFunctions, recallGrant } from "../../protocol/messages/host.ts";
import { LIVE_ALIAS, slotKey } from "../../protocol/names.ts";
import type { AccountRecord, FunctionRecord } from "../../protocol/vocabulary.ts";
import { isSingle } from "../kit/alias.ts";
import type { Bus } from "../kit/bus.ts";
import type { Clock, Log } from "../kit/ports.ts";
import type { Registry } from "../kit/registry.ts";
import type { Classes } from "./classes.ts";
import type { Fleet } from "./fleet.ts";
import { isNear, sharesOf } from "./grant-shares.ts";

export interface GrantsPorts {
  readonly control: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly classes: Classes;
  /** Under which this scheduler's orders go; undefined while it does not lead. */
  leaderEpoch(): number | undefined;
  /** A host obeys the leader of that epoch, and not this one. */
  fenced(epoch: number): void;
  keeperOf(functionKey: string): string;
  /** How long ago another scheduler may have given grants that has died since, or leads no more, in ms. */
  sinceOthers(): number;
  /** Resolves when every host is known that may hold a grant: a scheduler that has just begun has not heard them yet. */
  untilHeard(): Promise<void>;
  /** Number of live frontends. */
  frontends(): number;
}

interface Issued {
  readonly grant: Grant;
  /** Monotonic times. */
  readonly renewAt: number;
  readonly expiresAt: number;
}

/** That a host was told who leads. */
interface Told {
  readonly leaderEpoch: number;
  /** Which life of the host. */
  readonly life: string;
  /** Monotonic. */
  readonly againAt: number;
}

/** The terms of a grant, or undefined when the function's calls need a decision (G1). Pure. */
export function termsOf(
  record: FunctionRecord,
  account: AccountRecord | undefined,
  busy: boolean,
): Omit<Grant, "subscriptions" | "epoch" | "keeper" | "lifeMs"> | undefined {
  const { settings } = record;
  const version = record.aliases[LIVE_ALIAS]?.[0]?.version;
  const wanted = settings.class === undefined ? busy : settings.class === "busy";
  if (!wanted || !settings.direct || version === undefined || !isSingle(record) || account?.active === false) return undefined;
  if (account?.memoryMb !== undefined && settings.memoryMb > account.memoryMb) return undefined;
  return {
    account: record.account,
    function: record.name,
    version,
    memoryMb: settings.memoryMb,
    timeoutMs: Math.min(settings.timeoutMs, account?.timeoutMs ?? settings.timeoutMs),
    keepAliveMs: settings.keepAliveMs,
    idempotent: settings.idempotent,
    class: "busy",
    containers: Math.min(settings.containers, account?.containers ?? settings.containers),
  };
}

export class Grants {
  readonly #ports: GrantsPorts;
  /** account.function → host → what it was given. */
  readonly #issued = new Map<string, Map<string, Issued>>();
  /** Functions that are being recalled, each by so many changes: nothing is issued meanwhile. */
  readonly #recalling = new Map<string, number>();
  readonly #told = new Map<string, Told>();

  constructor(ports: GrantsPorts) {
    this.#ports = ports;
  }

  /** Issues what is new and renews what is due, while this scheduler leads; to be called several times a second. */
  renew(): void {
    const { registry, classes, clock, keeperOf } = this.#ports;
    const leaderEpoch = this.#ports.leaderEpoch();
    if (leaderEpoch === undefined) return;
    const now = clock.now();
    const due = new Map<string, Grant[]>(this.#untold(leaderEpoch, now));
    for (const record of this.#candidates(classes.busy(now))) {
      const key = `${record.account}.${record.name}`;
      if (this.#recalling.has(key)) continue;
      const revision = registry.revision(record.account, record.name);
      const terms = termsOf(record, registry.account(record.account), classes.classOf(key, now) === "busy");
      if (terms === undefined || revision === undefined) continue;
      this.#collect(key, { ...terms, subscriptions: 1, epoch: revision, keeper: keeperOf(key), lifeMs: LIMITS.grantLife.value }, now, due);
    }
    for (const [host, grants] of due) this.#order(host, grants, leaderEpoch);
  }

  /** Recalls every grant of a function, because of its record of that revision; resolves when all hosts have left or their grants have expired (G3). */
  async recall(account: string, name: string, epoch: number): Promise<void> {
    const { fleet, untilHeard } = this.#ports;
    const key = `${account}.${name}`;
    this.#recalling.set(key, (this.#recalling.get(key) ?? 0) + 1);
    try {
      const until = this.#untilOthersEnd();
      const asked = new Set<string>();
      const fromKnown = async (): Promise<void> => {
        const expiry = new Map([...(this.#issued.get(key) ?? [])].map(([host, issued]) => [host, issued.expiresAt]));
        for (const host of fleet.hosts()) if (host.functions.has(key)) expiry.set(host.id, Math.max(expiry.get(host.id) ?? 0, until));
        const open = [...expiry].filter(([host]) => !asked.has(host));
        for (const [host] of open) asked.add(host);
        await Promise.all(open.map(([host, expiresAt]) => this.#recallFrom(host, expiresAt, account, name, epoch)));
      };
      await fromKnown();
      await untilHeard();
      await fromKnown();
      this.#issued.delete(key);
    } finally {
      const others = (this.#recalling.get(key) ?? 1) - 1;
      if (others > 0) this.#recalling.set(key, others);
      else this.#recalling.delete(key);
    }
  }

  /** Recalls every grant that a change of its account made void, as `recall` does. */
  async recallOf(account: string): Promise<void> {
    const { clock, fleet, registry, untilHeard } = this.#ports;
    const prefix = `${account}.`;
    const keys = new Set([...this.#issued.keys()].filter((key) => key.startsWith(prefix) && this.#isVoid(key)));
    // What others gave is not known.
    if (clock.now() < this.#untilOthersEnd()) {
      await untilHeard();
      for (const host of fleet.hosts()) for (const key of host.functions.keys()) if (key.startsWith(prefix)) keys.add(key);
    }
    const recall = (name: string): Promise<void> => this.recall(account, name, registry.revision(account, name) ?? 0);
    await Promise.all([...keys].map((key) => recall(key.slice(prefix.length))));
  }

  /** True while some host may answer the function directly, as far as this scheduler knows. */
  granted(functionKey: string): boolean {
    const { classes, clock, leaderEpoch, registry } = this.#ports;
    const now = clock.now();
    for (const { expiresAt } of this.#issued.get(functionKey)?.values() ?? []) if (expiresAt > now) return true;
    if (leaderEpoch() !== undefined) return false;
    // Another leads, and sees what is seen here.
    const [account = "", name = ""] = functionKey.split(".");
    const record = registry.function(account, name);
    return record !== undefined && termsOf(record, registry.account(account), classes.classOf(functionKey, now) === "busy") !== undefined;
  }

  hostLost(host: string): void {
    for (const hosts of this.#issued.values()) hosts.delete(host);
    this.#told.delete(host);
  }

  /** It leads from now on: what it had given when it last led is nothing to build on. */
  began(): void {
    for (const [key, hosts] of this.#issued) {
      for (const [host, issued] of hosts) hosts.set(host, { ...issued, renewAt: Number.NEGATIVE_INFINITY });
      if (hosts.size === 0) this.#issued.delete(key);
    }
    this.renew();
  }

  /** True when a grant of the function says other than what is right now. */
  #isVoid(key: string): boolean {
    const { classes, clock, registry } = this.#ports;
    const now = clock.now();
    const [account = "", name = ""] = key.split(".");
    const record = registry.function(account, name);
    const terms = record && termsOf(record, registry.account(account), classes.classOf(key, now) === "busy");
    return [...(this.#issued.get(key)?.values() ?? [])].some(
      ({ grant, expiresAt }) => now < expiresAt && (terms === undefined || !agrees(grant, terms)),
    );
  }

  /** Until when grants may hold that others gave, and of which nothing is known here; monotonic. */
  #untilOthersEnd(): number {
    const { clock, sinceOthers } = this.#ports;
    return clock.now() + Math.max(0, LIMITS.grantLife.value - sinceOthers());
  }

  /** Hosts that have to be told who leads, with no grants yet. */
  #untold(leaderEpoch: number, now: number): [string, Grant[]][] {
    return this.#ports.fleet.hosts().flatMap((host): [string, Grant[]][] => {
      const told = this.#told.get(host.id);
      const knows = told?.leaderEpoch === leaderEpoch && told.life === host.announcement.epoch && now < told.againAt;
      return knows ? [] : [[host.id, []]];
    });
  }

  #order(host: string, grants: Grant[], leaderEpoch: number): void {
    const { clock, control, fleet, log } = this.#ports;
    const life = fleet.host(host)?.announcement.epoch;
    const again = (ms: number): void => {
      if (life !== undefined) this.#told.set(host, { leaderEpoch, life, againAt: clock.now() + ms });
    };
    again(LIMITS.leaseLife.value);
    control.ask(grantFunctions, [host], { grants, leaderEpoch }).then(
      ({ fenced }) => fenced !== undefined && this.#ports.fenced(fenced),
      (thrown: unknown) => {
        if (this.#told.get(host)?.leaderEpoch === leaderEpoch) again(LIMITS.grantRenewal.value);
        log.debug("a grant was not confirmed", { host, error: String(thrown) });
      },
    );
  }

  #candidates(busy: readonly string[]): FunctionRecord[] {
    const records: FunctionRecord[] = [];
    const seen = new Set(busy);
    // A function declared busy has containers before it has use; those that run anywhere are few.
    for (const host of this.#ports.fleet.hosts()) for (const key of host.functions.keys()) seen.add(key);
    for (const key of seen) {
      const [account = "", name = ""] = key.split(".");
      const record = this.#ports.registry.function(account, name);
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  #collect(key: string, grant: Grant, now: number, due: Map<string, Grant[]>): void {
    const { fleet, frontends } = this.#ports;
    const slot = slotKey(grant.account, grant.function, grant.version, grant.memoryMb);
    const serving = [...fleet.withKey(slot)].flatMap((host) => {
      const { idle, busy } = fleet.slots(host, slot);
      return host.announcement.draining || idle + busy === 0 ? [] : [{ host, containers: idle + busy }];
    });
    const shares = sharesOf(
      serving.map(({ containers }) => containers),
      frontends(),
    );
    const full = this.#isFull(key, grant);
    const issued = this.#issued.get(key) ?? new Map<string, Issued>();
    this.#issued.set(key, issued);
    for (const [at, { host }] of serving.entries()) {
      const subscriptions = shares[at] ?? 1;
      const before = issued.get(host.id);
      const isSame = before?.grant.epoch === grant.epoch && before.grant.full === full && isNear(before.grant.subscriptions, subscriptions);
      if (isSame && now < before.renewAt) continue;
      const fresh = { ...grant, subscriptions, full };
      issued.set(host.id, { grant: fresh, renewAt: now + LIMITS.grantRenewal.value, expiresAt: now + LIMITS.grantLife.value });
      const list = due.get(host.id);
      if (list === undefined) due.set(host.id, [fresh]);
      else list.push(fresh);
    }
  }

  /** True when no further container may be made for it, here or elsewhere. */
  #isFull(key: string, { account, containers }: Grant): boolean {
    const { fleet, registry } = this.#ports;
    const ofAccount = registry.account(account)?.containers ?? LIMITS.containersPerAccount.value;
    return fleet.containers({ functionKey: key }) >= containers || fleet.containers({ account }) >= ofAccount;
  }

  async #recallFrom(host: string, expiresAt: number, account: string, name: string, epoch: number): Promise<void> {
    const { control, clock, log } = this.#ports;
    const leaderEpoch = this.#ports.leaderEpoch();
    try {
      const { fenced } = await control.ask(recallGrant, [host], {
        account,
        function: name,
        epoch,
        ...(leaderEpoch !== undefined && { leaderEpoch }),
      });
      if (fenced !== undefined) this.#ports.fenced(fenced);
    } catch (thrown) {
      // The host may be gone or deaf: its grant ends by its own clock, one message delay after ours.
      const left = expiresAt - clock.now() + LIMITS.announceEvery.value;
      log.warn("a grant could not be recalled; waiting until it expires", {
        host,
        account,
        function: name,
        ms: left,
        error: String(thrown),
      });
      if (left > 0) await new Promise<void>((resolve) => void clock.after(left, resolve));
    }
  }
}

type Terms = NonNullable<ReturnType<typeof termsOf>>;

const agrees = (grant: Grant, terms: Terms): boolean =>
  (Object.keys(terms) as (keyof Terms)[]).every((field) => grant[field] === terms[field]);
