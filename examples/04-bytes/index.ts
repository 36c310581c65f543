// A body that is not JSON arrives as bytes, and bytes that are returned are sent as they are: here compressed.
import { gzipSync } from "node:zlib";

export const handler = async (body: Uint8Array): Promise<Uint8Array> => {
  if (!(body instanceof Uint8Array)) throw new TypeError("send bytes that are not JSON");
  const packed = gzipSync(body);
  // One byte in front says whether packing was worth it.
  return packed.length < body.length ? Buffer.concat([Buffer.of(1), packed]) : Buffer.concat([Buffer.of(0), body]);
};
