/** A node whose wall clock jumps by an hour, forwards and back, several times a second. */
const HOUR_MS = 3_600_000;
const JUMP_MS = 150;

const truth = Date.now.bind(Date);
let offset = HOUR_MS;
setInterval(() => {
  offset = -offset;
}, JUMP_MS);
const RealDate = Date;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given: ConstructorParameters<DateConstructor> | []) =>
    given.length === 0 ? new target(truth() + offset) : new target(...given),
  get: (target, name) => (name === "now" ? () => truth() + offset : Reflect.get(target, name, target)),
});

await import(new URL(`../../nodes/${process.env["PILOT_ROLE"]}.js`, import.meta.url).href);

export {};
