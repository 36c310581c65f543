/** Direct calls older than 250 ms: hosts report whom a keeper has to answer if they die. */
export class LongCalls {
  /** Host → call → the caller's inbox. */
  readonly #byHost = new Map<string, Map<string, string>>();

  get size(): number {
    let size = 0;
    for (const calls of this.#byHost.values()) size += calls.size;
    return size;
  }

  reported(host: string, started: readonly { readonly call: string; readonly reply: string }[], ended: readonly string[]): void {
    let calls = this.#byHost.get(host);
    if (calls === undefined) this.#byHost.set(host, (calls = new Map()));
    for (const { call, reply } of started) calls.set(call, reply);
    for (const call of ended) calls.delete(call);
  }

  /** Whom to answer now that the host is lost; they are forgotten. */
  take(host: string): Iterable<string> {
    const calls = this.#byHost.get(host);
    this.#byHost.delete(host);
    return calls?.values() ?? [];
  }
}
