// Variables come from `deploy --env`; nothing else of the host's environment is visible. What is written to stdout,
// stderr or `context.log` can be read with `pilot logs`, by call.
const greeting = process.env.GREETING ?? "hello";

export const handler = async (event, context) => {
  console.log("a plain line");
  context.log.info("greeted", { name: event.name, left: context.getRemainingTimeInMillis() > 0 });
  return `${greeting} ${event.name}, this is ${context.functionName}`;
};
