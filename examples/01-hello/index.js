// A function is a file that exports `handler`. A JSON body arrives parsed; what is returned is sent as JSON.
export const handler = async (event) => ({ message: `hello ${event?.name ?? "world"}` });
