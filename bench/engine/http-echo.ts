/** A bare HTTP server of Node that sends back what it gets: `node http-echo.js <port>`. The floor of the gateway. */
import { createServer } from "node:http";

const server = createServer((request, response) => {
  const pieces: Uint8Array[] = [];
  request.on("data", (piece: Uint8Array) => pieces.push(piece));
  request.on("end", () => {
    const body = pieces.length === 1 ? (pieces[0] ?? "") : Buffer.concat(pieces);
    response.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Length": body.length });
    response.end(body);
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
