/**
 * Grants: the right of a host to answer a function's public subject directly.
 *
 * G1  Only a function whose calls need no decision gets one: busy, direct, live alias at one version, account active.
 * G2  A grant carries the registry revision as its epoch: of two, the newer record is right.
 * G3  A change that makes grants void is answered only when every host has left, or its grant has run out.
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

/**
 * Subscriptions per frontend over all hosts: frontends then get about 1/41 of a granted function's calls. A call that takes
 * the longer way occupies its caller for a multiple of the time, so that a tenth of the calls would halve the throughput.
 */
const WEIGHT = 40;
const MOST_SUBSCRIPTIONS = 256;

export interface GrantsPorts {
  readonly control: Bus;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly fleet: Fleet;
  readonly classes: Classes;
  readonly node: string;
  /** True when this scheduler is the keeper of the function. */
  keeps(functionKey: string): boolean;
  /** How long ago another scheduler was last alive that is not now, or left, in ms; infinite when none was. */
  keeperBefore(): number;
  /** Number of live frontends. */
  frontends(): number;
}

interface Issued {
  readonly grant: Grant;
  /** Monotonic times. */
  readonly renewAt: number;
  readonly expiresAt: number;
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
  /** Functions that are being recalled: nothing is issued meanwhile. */
  readonly #recalling = new Set<string>();

  constructor(ports: GrantsPorts) {
    this.#ports = ports;
  }

  /** Issues what is new and renews what is due; to be called several times a second. */
  renew(): void {
    const { registry, classes, clock, keeps } = this.#ports;
    const now = clock.now();
    const due = new Map<string, Grant[]>();
    for (const record of this.#candidates(classes.busy(now))) {
      const key = `${record.account}.${record.name}`;
      if (!keeps(key) || this.#recalling.has(key)) continue;
      const revision = registry.revision(record.account, record.name);
      const terms = termsOf(record, registry.account(record.account), classes.classOf(key, now) === "busy");
      if (terms === undefined || revision === undefined) continue;
      this.#collect(
        key,
        { ...terms, subscriptions: 1, epoch: revision, keeper: this.#ports.node, lifeMs: LIMITS.grantLife.value },
        now,
        due,
      );
    }
    for (const [host, grants] of due) {
      this.#ports.control.ask(grantFunctions, [host], { grants }).catch((thrown: unknown) => {
        this.#ports.log.debug("a grant was not confirmed", { host, error: String(thrown) });
      });
    }
  }

  /** Recalls every grant of a function; resolves when all hosts have left or their grants have expired (G3). */
  async recall(account: string, name: string, epoch: number): Promise<void> {
    const key = `${account}.${name}`;
    this.#recalling.add(key);
    try {
      const { clock, fleet, keeperBefore } = this.#ports;
      const expiry = new Map([...(this.#issued.get(key) ?? [])].map(([host, issued]) => [host, issued.expiresAt]));
      // Another keeper may have died or left lately: what it granted is not known here, but may still hold.
      const until = clock.now() + Math.max(0, LIMITS.grantLife.value - keeperBefore());
      for (const host of fleet.hosts()) if (host.functions.has(key)) expiry.set(host.id, Math.max(expiry.get(host.id) ?? 0, until));
      await Promise.all([...expiry].map(([host, expiresAt]) => this.#recallFrom(host, expiresAt, account, name, epoch)));
      this.#issued.delete(key);
    } finally {
      this.#recalling.delete(key);
    }
  }

  /** Functions with a grant outstanding, of one account. */
  grantedOf(account: string): string[] {
    return [...this.#issued.keys()].filter((key) => key.startsWith(`${account}.`)).map((key) => key.slice(account.length + 1));
  }

  /** True while some host may answer the function directly, as far as this scheduler knows. */
  granted(functionKey: string): boolean {
    for (const { expiresAt } of this.#issued.get(functionKey)?.values() ?? []) if (expiresAt > this.#ports.clock.now()) return true;
    return false;
  }

  hostLost(host: string): void {
    for (const hosts of this.#issued.values()) hosts.delete(host);
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
    const hosts = fleet.taking().filter((host) => {
      const { idle, busy, loading } = fleet.slots(host, slot);
      return idle + busy + loading > 0;
    });
    const issued = this.#issued.get(key) ?? new Map<string, Issued>();
    this.#issued.set(key, issued);
    for (const host of hosts) {
      const { idle, busy, loading } = fleet.slots(host, slot);
      const subscriptions = Math.min(
        MOST_SUBSCRIPTIONS,
        Math.max(Math.ceil((idle + busy + loading) / 4), Math.ceil((WEIGHT * Math.max(1, frontends())) / hosts.length)),
      );
      const before = issued.get(host.id);
      const same = before?.grant.epoch === grant.epoch && before.grant.subscriptions === subscriptions;
      if (same && now < before.renewAt) continue;
      const fresh = { ...grant, subscriptions };
      issued.set(host.id, { grant: fresh, renewAt: now + LIMITS.grantRenewal.value, expiresAt: now + LIMITS.grantLife.value });
      const list = due.get(host.id);
      if (list === undefined) due.set(host.id, [fresh]);
      else list.push(fresh);
    }
  }

  async #recallFrom(host: string, expiresAt: number, account: string, name: string, epoch: number): Promise<void> {
    const { control, clock, log } = this.#ports;
    try {
      await control.ask(recallGrant, [host], { account, function: name, epoch });
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
