// bindJanus, with an adapter that keeps what it is given, as naf-janus-adapter does.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bindJanus } from "../dist/client/janus.js";

class FakeRoom extends EventTarget {
  token;
  push(token) {
    this.token = { token };
    this.dispatchEvent(Object.assign(new Event("token"), this.token));
  }
}

class FakeAdapter {
  all = [];
  setJoinToken(token) { this.all.push(token); }
}

test("the adapter gets the token of now and each later one, until it is unbound", () => {
  const [room, adapter] = [new FakeRoom(), new FakeAdapter()];
  room.push("jwt1");
  const unbind = bindJanus(adapter, room);
  assert.deepEqual(adapter.all, ["jwt1"]);
  room.push("jwt2");
  unbind();
  unbind();
  room.push("jwt3");
  assert.deepEqual(adapter.all, ["jwt1", "jwt2"]);
});

test("a room that has no token yet gives none until one comes", () => {
  const [room, adapter] = [new FakeRoom(), new FakeAdapter()];
  bindJanus(adapter, room);
  assert.deepEqual(adapter.all, []);
  room.push("jwt1");
  assert.deepEqual(adapter.all, ["jwt1"]);
});
