/** As much of the Gearman protocol as an echo needs: packets of a type and NUL-separated arguments over one socket. */
import { connect } from "node:net";

export const TYPE = {
  canDo: 1,
  preSleep: 4,
  noop: 6,
  submitJob: 7,
  jobCreated: 8,
  grabJob: 9,
  noJob: 10,
  jobAssign: 11,
  workComplete: 13,
  workFail: 14,
  error: 19,
};

const HEAD = 12;
const REQUEST = Buffer.from("\0REQ", "latin1");

/** Opens a connection; `onPacket(type, data)` gets each packet, a view of the bytes that is good until it returns. */
export function open(port, onPacket) {
  const socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  let rest = Buffer.alloc(0);
  socket.on("data", (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    let at = 0;
    while (rest.length - at >= HEAD) {
      const end = at + HEAD + rest.readUInt32BE(at + 8);
      if (rest.length < end) break;
      onPacket(rest.readUInt32BE(at + 4), rest.subarray(at + HEAD, end));
      at = end;
    }
    rest = rest.subarray(at);
  });
  return {
    send(type, ...parts) {
      const data = Buffer.concat(
        parts.flatMap((part, index) => (index === 0 ? [Buffer.from(part)] : [Buffer.alloc(1), Buffer.from(part)])),
      );
      const head = Buffer.alloc(HEAD);
      REQUEST.copy(head);
      head.writeUInt32BE(type, 4);
      head.writeUInt32BE(data.length, 8);
      socket.write(Buffer.concat([head, data]));
    },
    end: () => socket.destroy(),
    opened: new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    }),
  };
}

/** The first argument as text, and where the rest begins. */
export function first(data) {
  const end = data.indexOf(0);
  return end < 0 ? [data.toString("latin1"), data.length] : [data.toString("latin1", 0, end), end + 1];
}
