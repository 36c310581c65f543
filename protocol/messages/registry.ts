/**
 * What operators say about functions, aliases, accounts and pools. Served by every scheduler as the micro
 * service `pilot-registry`; writes are compare-and-set, so two at once never lose one silently.
 */
import Type from "typebox";
import { request, Strict } from "../contract.ts";
import { LIMITS } from "../limits.ts";
import { SUBJECT } from "../subjects.ts";
import {
  AccountSchema,
  ClassSchema,
  Count,
  Digest,
  Environment,
  FunctionSchema,
  Memory,
  Name,
  PoolSchema,
  RuntimeSchema,
  Shares,
  Timeout,
  VersionSchema,
} from "./records.ts";

const on = (verb: string) => () => SUBJECT.service("registry", verb);
const Which = Strict({ account: Name, name: Name });

const SettingsChange = {
  memoryMb: Type.Optional(Memory),
  timeoutMs: Type.Optional(Timeout),
  keepAliveMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400_000 })),
  /** null: decide from use again. */
  class: Type.Optional(Type.Union([ClassSchema, Type.Null()])),
  direct: Type.Optional(Type.Boolean()),
  idempotent: Type.Optional(Type.Boolean()),
  containers: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.containersPerFunction.value })),
};

/** Nodes that did not say in time that they left the old version; empty when all did. */
const Unconfirmed = Type.Array(Type.String());

export const deployFunction = request({
  name: "deploy",
  subject: on("deploy"),
  request: Strict({
    account: Name,
    name: Name,
    runtime: RuntimeSchema,
    handler: Type.String({ minLength: 1, maxLength: 256 }),
    digest: Digest,
    bytes: Count,
    hasMap: Type.Boolean(),
    environment: Type.Optional(Environment),
    network: Type.Optional(Type.Boolean()),
    settings: Type.Optional(Strict(SettingsChange)),
  }),
  reply: Type.Object({ function: FunctionSchema, version: VersionSchema, unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning:
    "Makes the next version of a function and moves its live alias there; legal once the code is in the object store. Returns when no node answers with the old version any more.",
});

export const listFunctions = request({
  name: "list-functions",
  subject: on("functions"),
  request: Strict({ account: Type.Optional(Name) }),
  reply: Type.Object({ functions: Type.Array(FunctionSchema) }),
  meaning: "All functions, or those of one account.",
});

export const showFunction = request({
  name: "show-function",
  subject: on("function"),
  request: Which,
  reply: Type.Object({ function: FunctionSchema, versions: Type.Array(VersionSchema) }),
  meaning: "One function with its versions, newest first.",
});

export const setFunction = request({
  name: "set-function",
  subject: on("set-function"),
  request: Strict({ account: Name, name: Name, change: Strict(SettingsChange) }),
  reply: Type.Object({ function: FunctionSchema, unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning: "Changes settings of a function without a new version.",
});

export const removeFunction = request({
  name: "remove-function",
  subject: on("remove-function"),
  request: Which,
  reply: Type.Object({ removed: Type.Boolean(), unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning: "Removes a function, its versions and aliases; calls that run end normally.",
});

export const setAlias = request({
  name: "set-alias",
  subject: on("set-alias"),
  request: Strict({ account: Name, name: Name, alias: Name, shares: Type.Union([Shares, Type.Null()]) }),
  reply: Type.Object({ function: FunctionSchema, unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning: "Points an alias at one version, or at several by weight; null removes it (the live alias cannot be removed).",
});

export const listAccounts = request({
  name: "list-accounts",
  subject: on("accounts"),
  request: Strict({}),
  reply: Type.Object({ accounts: Type.Array(AccountSchema) }),
  meaning: "All accounts.",
});

export const setAccount = request({
  name: "set-account",
  subject: on("set-account"),
  request: Strict({
    account: Name,
    /** True: it must not exist yet (account add). */
    create: Type.Boolean(),
    timeoutMs: Type.Optional(Type.Union([Timeout, Type.Null()])),
    memoryMb: Type.Optional(Type.Union([Memory, Type.Null()])),
    containers: Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000 })),
    active: Type.Optional(Type.Boolean()),
  }),
  reply: Type.Object({ account: AccountSchema, unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning: "Adds an account, or changes the execution parameters that bound every run of it (F006).",
});

export const removeAccount = request({
  name: "remove-account",
  subject: on("remove-account"),
  request: Strict({ account: Name }),
  reply: Type.Object({ unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning:
    "Removes an account that has no functions, with its bounds; refused while it has one. A later deploy makes it anew, with the defaults.",
});

export const listPools = request({
  name: "list-pools",
  subject: on("pools"),
  request: Strict({}),
  reply: Type.Object({ pools: Type.Array(PoolSchema) }),
  meaning: "How many instances of each configuration every host keeps warm.",
});

export const setPool = request({
  name: "set-pool",
  subject: on("set-pool"),
  request: PoolSchema,
  reply: Type.Object({ pools: Type.Array(PoolSchema), unconfirmed: Unconfirmed }),
  timeoutMs: 15_000,
  meaning: "Sets the warm number of one configuration; 0 keeps none.",
});
