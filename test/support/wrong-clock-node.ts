/** A node; if it is host-1, its wall clock is an hour ahead, as on a machine that nobody set right. */
const HOUR_MS = 3_600_000;

if (process.env["PILOT_NODE"] === "host-1") {
  const RealDate = Date;
  const truth = Date.now.bind(Date);
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given: ConstructorParameters<DateConstructor> | []) =>
      given.length === 0 ? new target(truth() + HOUR_MS) : new target(...given),
    get: (target, name) => (name === "now" ? () => truth() + HOUR_MS : Reflect.get(target, name, target)),
  });
  Object.defineProperty(performance, "timeOrigin", { value: performance.timeOrigin + HOUR_MS });
}
await import(new URL(`../../nodes/${process.env["PILOT_ROLE"]}.js`, import.meta.url).href);

export {};
