/** The registry service: every contract of protocol/messages/registry.ts, answered by one scheduler of the group. */

import type { Request } from "../../../protocol/contract.ts";
import {
  setAccount as accountContract,
  listAccounts as accountsContract,
  setAlias as aliasContract,
  deployFunction,
  setFunction as functionContract,
  listFunctions as functionsContract,
  setPool as poolContract,
  listPools as poolsContract,
  removeAccount as removeAccountContract,
  removeFunction as removeContract,
  showFunction as showContract,
} from "../../../protocol/messages/registry.ts";
import { SCHEDULERS } from "../../../protocol/subjects.ts";
import type { Subscription } from "../../kit/bus.ts";
import { listAccounts, removeAccount, setAccount } from "./accounts.ts";
import { deploy } from "./deploy.ts";
import { listFunctions, removeFunction, setAlias, setFunction, showFunction } from "./functions.ts";
import { listPools, setPool } from "./pools.ts";
import type { RegistryPorts } from "./ports.ts";

/** Serves until `stop`, which resolves when nothing more will be taken and what was taken is answered. */
export function serveRegistry(ports: RegistryPorts): { stop(): Promise<void> } {
  const subscriptions: Subscription[] = [];
  const running = new Set<Promise<unknown>>();
  const serve = <Q, R>(contract: Request<readonly [], Q, R>, handler: (body: Q) => Promise<unknown> | unknown): void => {
    // Records are the contract's replies but for readonly.
    const answer = async (body: Q): Promise<R> => (await handler(body)) as R;
    const tracked = (body: Q): Promise<R> => {
      const answered = answer(body);
      running.add(answered);
      const done = (): void => void running.delete(answered);
      answered.then(done, done);
      return answered;
    };
    subscriptions.push(ports.bus.serve(contract, [], tracked, SCHEDULERS));
  };
  serve(deployFunction, (order) => deploy(ports, order));
  serve(functionsContract, ({ account }) => listFunctions(ports, account));
  serve(showContract, (which) => showFunction(ports, which));
  serve(functionContract, ({ account, name, change }) => setFunction(ports, { account, name }, change));
  serve(removeContract, (which) => removeFunction(ports, which));
  serve(aliasContract, ({ account, name, alias, shares }) => setAlias(ports, { account, name }, alias, shares));
  serve(accountsContract, () => listAccounts(ports));
  serve(accountContract, (wanted) => setAccount(ports, wanted));
  serve(removeAccountContract, ({ account }) => removeAccount(ports, account));
  serve(poolsContract, () => listPools(ports));
  serve(poolContract, (target) => setPool(ports, target));
  return {
    async stop() {
      await Promise.all(subscriptions.map((subscription) => subscription.stop()));
      await Promise.allSettled(running);
    },
  };
}
