// A Socket.IO client: node client.mjs URL HEADER TRANSPORTS. Exits 0 if everything came as it should.
import assert from "node:assert/strict";
import { io } from "socket.io-client";

const [url, authorization, transports] = process.argv.slice(2);
const socket = io(url, {
  path: "/app-guarded/socket.io/",
  transports: transports.split(","),
  extraHeaders: { Authorization: authorization },
  auth: { agent: JSON.stringify({ roles: ["boss"] }), fcm: "device-7" },
  reconnection: false,
  ackTimeout: 5000,
});
const heard = [];
socket.onAny((...event) => {
  const acknowledge = typeof event.at(-1) === "function" ? event.pop() : undefined;
  acknowledge?.("heard", { data: Buffer.from([9]) });
  heard.push(event);
});
const until = async (what, holds) => {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never happened: ${what}, heard ${JSON.stringify(heard)}`);
};
const heardOf = (name) => heard.filter(([own]) => own === name);

await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
await until("hello", () => heardOf("hello").length === 1);
assert.deepEqual([...heardOf("hello")[0][1].data], [1, 2, 3]);
if (transports !== "polling") {
  await until("the upgrade", () => socket.io.engine.transport.name === "websocket");
}

const [done, transport] = await socket.emitWithAck("publishCimEvent", { text: "hé ☎" }).then((...own) => [own[0], own[1]]);
assert.equal(done, true);
socket.emit("publishCimEvent", { data: Buffer.alloc(70_000, 7) }, "second");
await until("the echo of bytes", () => heardOf("onCimEvent").length === 2);
assert.equal(heardOf("onCimEvent")[1][2].data.length, 70_000);

const refused = await socket.emitWithAck("deletePullModeRequest", { id: 1 });
assert.equal(refused.error.status, 403);
socket.emit("deletePullModeRequest", { data: Buffer.alloc(10) });
await until("the error event", () => heardOf("errors").length === 1);
assert.equal(heardOf("errors")[0][1].event, "deletePullModeRequest");

// A second of pings and pongs, and it still works.
await new Promise((resolve) => setTimeout(resolve, 1000));
for (let number = 0; number < 20; number++) {
  socket.emit("publishCimEvent", number);
}
assert.equal(await socket.emitWithAck("publishCimEvent", "last"), true);
assert.ok(socket.connected);

const stranger = io(`${url}/admin`, {
  path: "/app-guarded/socket.io/",
  transports: ["websocket"],
  extraHeaders: { Authorization: authorization },
  reconnection: false,
  forceNew: true,
});
const why = await new Promise((resolve) => stranger.on("connect_error", resolve).on("connect", () => resolve(null)));
assert.equal(why?.message, "Invalid namespace");
stranger.disconnect();
socket.disconnect();
console.log("ok");
process.exit(0);
