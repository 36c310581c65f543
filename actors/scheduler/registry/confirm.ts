/**
 * After a write: every live node is told and answers when it has applied it, so that nobody acts on what was before.
 *
 * C1  All nodes are asked in parallel, for LIMITS.deployAcknowledge together; one that cannot be reached is asked again meanwhile.
 * C2  A node that is no longer alive is not waited for; one that appears meanwhile is asked too.
 * C3  When a scheduler is lost that had not answered, the other schedulers are asked again: while it counted as alive they left to it what
 *     it had given to hosts.
 */
import { Fault } from "../../../protocol/errors.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { syncNode } from "../../../protocol/messages/sync.ts";
import type { AccountRecord, FunctionRecord, PoolTarget, VersionRecord } from "../../../protocol/vocabulary.ts";
import type { RegistryPorts } from "./ports.ts";

/** What was written. */
export interface Written {
  readonly function?: { readonly key: string; readonly revision: number; readonly record: FunctionRecord | null };
  readonly account?: { readonly key: string; readonly revision: number; readonly record: AccountRecord | null };
  readonly pools?: readonly PoolTarget[];
  /** Told to schedulers only: nobody else needs what its environment holds before a call does. */
  readonly version?: VersionRecord;
}

type ConfirmPorts = Pick<RegistryPorts, "bus" | "clock" | "log" | "live">;

/** Resolves with the names of the live nodes that did not answer in time, sorted. Never rejects. */
export function confirm(ports: ConfirmPorts, written: Written): Promise<string[]> {
  return new Promise((resolve) => {
    const round = new Round(ports, written, resolve);
    round.look();
  });
}

class Round {
  readonly #ports: ConfirmPorts;
  readonly #written: Written;
  readonly #wanted: () => readonly string[];
  readonly #resolve: (unconfirmed: string[]) => void;
  readonly #until: number;
  readonly #asked = new Set<string>();
  readonly #answered = new Set<string>();
  #schedulers: readonly string[] = [];
  /** How often schedulers were asked anew. */
  #anew = 0;
  readonly #ticks;
  #over = false;

  constructor(ports: ConfirmPorts, written: Written, resolve: (unconfirmed: string[]) => void) {
    this.#ports = ports;
    this.#resolve = resolve;
    this.#written = written;
    this.#wanted = () => {
      const { frontends, schedulers, hosts } = ports.live();
      // Frontends know nothing of pools, hosts nothing of functions and accounts until a call brings one (F004) but for those that are gone.
      if (written.pools) return [...schedulers, ...hosts];
      return [...frontends, ...schedulers, ...(written.function?.record === null || written.account?.record === null ? hosts : [])];
    };
    this.#until = ports.clock.now() + LIMITS.deployAcknowledge.value;
    this.#ticks = ports.clock.every(LIMITS.confirmRetry.value, () => this.look());
  }

  /** Asks whom it has not asked, and ends when nobody is left to wait for or the time is over. */
  look(): void {
    if (this.#over) return;
    this.#lookAtSchedulers();
    const open = this.#wanted().filter((node) => !this.#answered.has(node));
    const left = this.#until - this.#ports.clock.now();
    if (open.length === 0 || left <= 0) {
      this.#over = true;
      this.#ticks.cancel();
      if (open.length > 0) this.#ports.log.warn("nodes did not confirm a change", { nodes: open });
      this.#resolve([...new Set(open)].sort());
      return;
    }
    for (const node of open) if (!this.#asked.has(node)) this.#ask(node, left);
  }

  #lookAtSchedulers(): void {
    const { schedulers } = this.#ports.live();
    if (this.#schedulers.some((node) => !schedulers.includes(node) && !this.#answered.has(node))) {
      this.#anew++;
      for (const node of schedulers) {
        this.#asked.delete(node);
        this.#answered.delete(node);
      }
    }
    this.#schedulers = schedulers;
  }

  #ask(node: string, left: number): void {
    this.#asked.add(node);
    const { version, ...forAll } = this.#written;
    const isScheduler = this.#ports.live().schedulers.includes(node);
    const body = version && isScheduler ? this.#written : forAll;
    const anew = this.#anew;
    // The same but for readonly.
    this.#ports.bus.ask(syncNode, [node], body as ReturnType<typeof syncNode.request.parse>, left).then(
      () => {
        // It has been asked again since.
        if (isScheduler && anew !== this.#anew) return;
        this.#answered.add(node);
        this.look();
      },
      (thrown: unknown) => {
        if (isScheduler && anew !== this.#anew) return;
        this.#asked.delete(node); // the next tick asks again, while there is time
        this.#ports.log.debug("a node did not confirm a change", { node, error: Fault.from(thrown).message });
      },
    );
  }
}
