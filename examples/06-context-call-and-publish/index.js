// Functions act through their context: they call each other, and publish below their account's own subject.
// The sandbox itself has no network. Deploy 01-hello first, as `hello`.
export const handler = async (event, context) => {
  const { message } = await context.call("hello", { name: event.name });
  // Whoever listens: nats sub pilot.pub.main.greeted
  await context.publish("greeted", { message });
  return { message: `${message}, by ${context.functionName}` };
};
