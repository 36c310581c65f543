/**
 * Looks at the running platform again and again, and complains of what must never be, not even for a moment:
 *
 * W1  An instance belongs to one account for ever.
 * W2  The cap of a function is not overshot. That of an account is by one container at most for each scheduler beside the
 *     first. A host counts no more from when others may have declared it lost until it has heard that of itself.
 * W3  No host gives more memory than it has.
 * W4  Nobody waits for longer than PATIENCE_MS while an idle container of its code, or memory for one, is there.
 * W5  A host that has heard of a leader refuses every order of an older one, and no other.
 */
import { decode } from "../../protocol/codec.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { grantFunctions } from "../../protocol/messages/host.ts";
import { slotKey } from "../../protocol/names.ts";
import type { Packet } from "../support/memory-broker.ts";
import type { World } from "./world.ts";

const PATIENCE_MS = 600;
/** How long after a host's trouble keepers may still believe in what it had. */
const UNSURE_MS = LIMITS.hostSilence.value + LIMITS.clockGap.value;
/** A host that was not heard for this long may have been declared lost. */
const LOST_MS = LIMITS.hostSilence.value - 100;
/** What may pass until a host that announces itself again has heard that it was declared lost. */
const TOLD_MS = 50;
/** How long a keeper that is new may wait near a cap for what was ordered before it. */
const UNSURE_KEEPER_MS = LIMITS.hostSilence.value;
const BOX_MB = LIMITS.boxMemory.value;

export interface Caps {
  /** By account.function. */
  readonly functions: ReadonlyMap<string, number>;
  /** The most and the least that was ever allowed to an account. */
  readonly accounts: { readonly most: number; readonly least: number };
}

export class Watch {
  readonly complaints: string[] = [];
  readonly #world: World;
  readonly #caps: Caps;
  readonly #owners = new Map<string, string>();
  /** What could serve a waiting call → since when. */
  readonly #since = new Map<string, number>();
  /** When each life of a host was last heard, and until when it may be thought lost. */
  readonly #heard = new Map<string, number>();
  readonly #doubted = new Map<string, number>();
  /** Orders of leaders that were delivered and are not answered yet, by where the answer goes: the life of the host, and their epoch. */
  readonly #orders = new Map<string, { readonly life: string; readonly epoch: number }>();
  /** The newest leader that each life of a host has answered. */
  readonly #obeyed = new Map<string, number>();
  /** Orders that were refused because of a newer leader. */
  fenced = 0;

  constructor(world: World, caps: Caps) {
    this.#world = world;
    this.#caps = caps;
    world.watchers.push((packet) => {
      if (packet.subject.startsWith("_pilot.announce.host.")) this.#announced(packet.from);
    });
    world.watchers.push((packet, to) => this.#ordered(packet, to));
  }

  look(): void {
    const functions = new Map<string, number>();
    const accounts = new Map<string, number>();
    const sure = new Map<string, number>();
    const sureAccounts = new Map<string, number>();
    const idle = new Map<string, string>();
    const rooms: { host: string; freeMb: number }[] = [];
    // Until a host is declared lost, what it had still counts.
    const now = this.#world.clock.now();
    let isUnsure = this.#world.lives.some(
      ({ role, troubles }) =>
        role === "host" && troubles.some(({ at, until }) => now - at < UNSURE_MS || (until >= now && until !== Number.POSITIVE_INFINITY)),
    );
    for (const { node, host } of this.#world.of("host")) {
      const said = host?.describe();
      if (said === undefined) continue;
      if (said.usedMb > said.memoryMb) this.#complain(`${node.id} gives ${said.usedMb} MB of ${said.memoryMb}`);
      if (node.isWell && !said.draining) rooms.push({ host: node.id, freeMb: said.memoryMb - said.usedMb });
      const isSure = !this.#mayBeLost(node.control.name);
      for (const instance of said.instances) {
        if (instance.state === "booting") isUnsure = true;
        this.#owned(instance.id, instance.account);
        for (const container of instance.containers) {
          const { account, function: name, version, memoryMb, state } = container;
          if (account === undefined || name === undefined || version === undefined || memoryMb === undefined) continue;
          if (account !== instance.account) this.#complain(`a container of ${account} is in an instance of ${instance.account}`);
          count(functions, `${account}.${name}`);
          count(accounts, account);
          if (isSure) {
            count(sure, `${account}.${name}`);
            count(sureAccounts, account);
          }
          if (state === "loading") isUnsure = true;
          if (state === "idle" && node.isWell && !said.draining) idle.set(slotKey(account, name, version, memoryMb), node.id);
        }
      }
    }
    for (const [name, containers] of sure) {
      const cap = this.#caps.functions.get(name) ?? Number.POSITIVE_INFINITY;
      if (containers > cap) this.#complain(`${name} has ${containers} containers, its cap is ${cap}`);
    }
    const most = this.#caps.accounts.most + this.#world.size.schedulers - 1;
    for (const [account, containers] of sureAccounts)
      if (containers > most) this.#complain(`${account} has ${containers} containers, its cap is ${this.#caps.accounts.most}`);
    this.#lookAtWaits(functions, accounts, idle, rooms, isUnsure);
  }

  #lookAtWaits(
    functions: Map<string, number>,
    accounts: Map<string, number>,
    idle: Map<string, string>,
    rooms: { host: string; freeMb: number }[],
    isUnsure: boolean,
  ): void {
    const now = this.#world.clock.now();
    const servable = new Set<string>();
    // Who takes over from one that leaves is new, and waits to hear everybody, also those that have left.
    const areNew = now - this.#world.leftAt < UNSURE_KEEPER_MS;
    for (const { node, scheduler } of this.#world.of("scheduler")) {
      if (!node.isWell) continue;
      const isNew = areNew || now - node.bornAt < UNSURE_KEEPER_MS || node.troubles.some(({ until }) => now - until < UNSURE_KEEPER_MS);
      for (const wait of scheduler?.waits() ?? []) {
        const name = wait.key.slice(0, wait.key.indexOf(".", wait.account.length + 1));
        const capped =
          (functions.get(name) ?? 0) >= (this.#caps.functions.get(name) ?? 1e9) ||
          (accounts.get(wait.account) ?? 0) >= this.#caps.accounts.least;
        const room = capped || isUnsure || isNew ? undefined : rooms.find(({ freeMb }) => freeMb >= wait.memoryMb + BOX_MB);
        const by = idle.get(wait.key) ?? (room && `${room.freeMb} MB at ${room.host}`);
        if (by === undefined) continue;
        const key = `${node.id} ${wait.key}`;
        servable.add(key);
        const since = this.#since.get(key) ?? now;
        this.#since.set(key, since);
        if (now - since > PATIENCE_MS && wait.waitedMs > PATIENCE_MS) {
          this.#complain(
            `a call of ${wait.key} has waited ${wait.waitedMs} ms at ${node.id} though there was ${by} for ${now - since} ms: ${wait.reason}`,
          );
          this.#since.delete(key);
        }
      }
    }
    for (const key of this.#since.keys()) if (!servable.has(key)) this.#since.delete(key);
  }

  #ordered({ subject, reply, body, headers }: Packet, to: string): void {
    if (/^_pilot\.agent\.[^.]+\.grant$/.test(subject)) {
      const { leaderEpoch } = grantFunctions.request.parse(decode(body));
      if (leaderEpoch === undefined) this.#complain(`an order without an epoch went to ${to}`);
      else this.#orders.set(reply, { life: to, epoch: leaderEpoch });
      return;
    }
    const order = this.#orders.get(subject);
    if (order === undefined) return;
    this.#orders.delete(subject);
    if (headers?.["Pilot-Error"] !== undefined) return;
    const { fenced } = grantFunctions.reply.parse(decode(body));
    const { life, epoch } = order;
    const newest = this.#obeyed.get(life) ?? 0;
    if (epoch < newest !== (fenced !== undefined))
      this.#complain(`${life} obeyed the leader ${newest} and ${fenced === undefined ? "obeys" : "refuses"} ${epoch}`);
    this.#obeyed.set(life, Math.max(newest, epoch));
    if (fenced !== undefined) this.fenced++;
  }

  #announced(life: string): void {
    const now = this.#world.clock.now();
    if (now - (this.#heard.get(life) ?? now) > LOST_MS) this.#doubted.set(life, now + TOLD_MS);
    this.#heard.set(life, now);
  }

  #mayBeLost(life: string): boolean {
    const now = this.#world.clock.now();
    return now - (this.#heard.get(life) ?? now) > LOST_MS || now < (this.#doubted.get(life) ?? 0);
  }

  #owned(instance: string, account: string | null): void {
    const owner = this.#owners.get(instance);
    if (account === null) {
      if (owner !== undefined) this.#complain(`instance ${instance} of ${owner} is nobody's again`);
      return;
    }
    if (owner !== undefined && owner !== account) this.#complain(`instance ${instance} of ${owner} became ${account}'s`);
    this.#owners.set(instance, account);
  }

  #complain(what: string): void {
    if (this.complaints.length < 20) this.complaints.push(`${this.#world.clock.now()} ms: ${what}`);
  }
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}
