// useRoom with a fake of React, on the built client with a gateway that is
// played by the test.
import assert from "node:assert/strict";
import { register } from "node:module";
import { beforeEach, mock, test } from "node:test";
import { connect } from "../dist/client/client.js";
import { mount } from "./fake-react.mjs";
import { FakeSocket, member, newest, settle, token, welcome } from "./fake-socket.mjs";

const fake = new URL("fake-react.mjs", import.meta.url).href;
register("data:text/javascript," + encodeURIComponent(`export const resolve = (name, context, next) =>
  name === "react" ? { url: ${JSON.stringify(fake)}, format: "module", shortCircuit: true } : next(name, context)`));
const { useRoom } = await import("../dist/client/react.js");

beforeEach(() => {
  FakeSocket.all = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

async function opened() {
  const gateway = connect("ws://gateway.test/ws", { WebSocket: FakeSocket, credential: "ann" });
  await settle();
  newest().open();
  newest().bring(welcome());
  return gateway;
}

const sent = (type) => newest().sent.filter((m) => m.type === type);
const joined = async (data = null) => {
  await settle();
  newest().bring({ type: "joined", id: newest().last("join").id, room: "r", member: "me", members: [member("me", data), member("you")], cursor: "e.1", token: token(1) });
  await settle();
};
const timers = async () => { mock.timers.tick(0); await settle(); };
const left = async () => {
  newest().bring({ type: "left", id: newest().last("leave").id, room: "r" });
  await settle();
};

test("the component is in the room while it is there, and sees what changes", async () => {
  const gateway = await opened();
  const component = mount(() => useRoom(gateway, "r", { data: "mine" }));
  assert.deepEqual(component.seen, { room: undefined, members: [], token: undefined, state: "connected", error: undefined });
  await joined("mine");
  assert.equal(newest().last("join").data, "mine");
  assert.equal(component.seen.room.member, "me");
  assert.equal(component.seen.token.token, "jwt1");
  newest().bring({ type: "token", room: "r", ...token(2) });
  newest().bring({ type: "member_joined", room: "r", cursor: "e.2", member: member("she") });
  assert.equal(component.seen.token.token, "jwt2");
  assert.deepEqual(component.seen.members.map((m) => m.id), ["me", "you", "she"]);
  const before = component.seen;
  newest().bring({ type: "signal", room: "r", cursor: "e.3", from: "you", data: "hi" });
  assert.equal(component.seen, before, "a signal isn't of the view");
  component.unmount();
  await timers();
  assert.equal(sent("leave").length, 1);
  await left();
  gateway.close();
});

test("StrictMode and two components make one membership; who comes while it is left joins after that", async () => {
  const gateway = await opened();
  const one = mount(() => useRoom(gateway, "r"));
  one.strict();
  const two = mount(() => useRoom(gateway, "r"));
  await joined();
  await timers();
  assert.equal(sent("join").length, 1);
  assert.equal(one.seen.room, two.seen.room);
  one.unmount();
  await timers();
  assert.equal(sent("leave").length, 0);
  two.unmount();
  await timers();
  assert.equal(sent("leave").length, 1);
  const three = mount(() => useRoom(gateway, "r"));
  await settle();
  assert.equal(sent("join").length, 1, "not before the leave is done");
  await left();
  await joined();
  assert.equal(sent("join").length, 2);
  assert.equal(three.seen.room.member, "me");
  gateway.close();
});

test("unmounted while it joins, it leaves when it has joined", async () => {
  const gateway = await opened();
  const component = mount(() => useRoom(gateway, "r"));
  component.unmount();
  await timers();
  await joined();
  assert.equal(sent("leave").length, 1);
  gateway.close();
});

test("another name is another room, and other data is told", async () => {
  const gateway = await opened();
  const component = mount(() => useRoom(gateway, "r", { data: { n: 1 } }));
  await joined({ n: 1 });
  component.render(() => useRoom(gateway, "r", { data: { n: 1 } }));
  assert.equal(sent("update").length, 0, "the same data in another object is the same");
  component.render(() => useRoom(gateway, "r", { data: { n: 2 } }));
  assert.deepEqual(newest().last("update").data, { n: 2 });
  newest().bring({ type: "ok", id: newest().last("update").id });
  await settle();
  assert.deepEqual(component.seen.members[0].data, { n: 2 });
  component.render(() => useRoom(gateway, "s"));
  await timers();
  assert.equal(newest().last("leave").room, "r");
  assert.equal(newest().last("join").room, "s");
  assert.equal(component.seen.room, undefined);
  gateway.close();
});

test("what went wrong is in error: refused, unconfirmed until it is over, removed, closed", async () => {
  const gateway = await opened();
  let component = mount(() => useRoom(gateway, "r"));
  await settle();
  newest().bring({ type: "error", id: newest().last("join").id, code: "not_allowed", message: "no" });
  await settle();
  assert.equal(component.seen.error.code, "not_allowed");
  component.unmount();
  await timers();
  component = mount(() => useRoom(gateway, "r"));
  assert.equal(component.seen.error, undefined);
  await joined();
  newest().bring({ type: "removed", room: "r", reason: "unconfirmed" });
  assert.equal(component.seen.error.code, "unconfirmed");
  mock.timers.tick(15_000);
  await joined();
  assert.equal(component.seen.error, undefined);
  newest().bring({ type: "removed", room: "r", reason: "kicked" });
  assert.equal(component.seen.error.code, "kicked");
  assert.deepEqual([component.seen.room, component.seen.token, component.seen.members], [undefined, undefined, []]);
  newest().lost(4403, "kicked");
  assert.equal(component.seen.state, "closed");
  assert.equal(component.seen.error.code, "closed");
});

test("a lost socket changes the state only; without a gateway nothing happens", async () => {
  const gateway = await opened();
  const component = mount(() => useRoom(gateway, "r"));
  await joined();
  newest().lost();
  assert.equal(component.seen.state, "reconnecting");
  assert.equal(component.seen.token.token, "jwt1");
  gateway.close();
  assert.equal(mount(() => useRoom(undefined, "r")).seen.state, "connecting");
});
