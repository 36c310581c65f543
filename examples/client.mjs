// A program that calls functions: node examples/client.mjs, while `npx pilot up` runs and hello of 01-hello is deployed.
import { connect, isPilotError } from "pilotlight";

const pilot = await connect();
try {
  console.log(await pilot.invoke("hello", { name: "you" }));

  // How it was placed, and the bytes as they came.
  const { bytes, trace } = await pilot.call("hello", { name: "you" }, { trace: true, timeoutMs: 5_000 });
  console.log(`${bytes.length} bytes, rung ${trace?.rung}`);

  // Code that is nowhere deployed.
  console.log(await pilot.invokeInline("export const handler = (event) => event.length", [1, 2, 3]));

  // A signal ends the run, not only the wait.
  const forever = "export const handler = () => new Promise(() => setInterval(() => {}, 1000))";
  await pilot.invokeInline(forever, null, { signal: AbortSignal.timeout(2_000) });
} catch (error) {
  if (!isPilotError(error, "Cancelled")) throw error;
  console.log("cancelled");
} finally {
  await pilot.close();
}
