// A Socket.IO server that says what it was sent. It prints its port and, at the end of its input, what reached it.
import { createServer } from "node:http";
import { Server } from "socket.io";

const reached = [];
const http = createServer();
const io = new Server(http, { path: "/app-guarded/socket.io/", pingInterval: 300, pingTimeout: 2000 });

io.on("connection", (socket) => {
  reached.push(["connect", socket.handshake.auth]);
  socket.onAny((name, ...args) => {
    const acknowledge = typeof args.at(-1) === "function" ? args.pop() : undefined;
    reached.push([name, ...args.map((arg) => (Buffer.isBuffer(arg?.data) ? { bytes: arg.data.length } : arg))]);
    acknowledge?.(true, socket.conn.transport.name);
    socket.emit("onCimEvent", name, ...args);
  });
  socket.emit("hello", { data: Buffer.from([1, 2, 3]) }, (...answer) => reached.push(["answered", ...answer]));
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.resume();
process.stdin.on("end", () => {
  console.log(JSON.stringify(reached));
  process.exit(0);
});
