// The built client against a gateway that is played by the test.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { connect } from "../dist/client/client.js";
import { FakeSocket, member, newest, settle, token, welcome } from "./fake-socket.mjs";

beforeEach(() => {
  FakeSocket.all = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
});

async function opened(options = {}, more = {}) {
  const gateway = connect("ws://gateway.test/ws", { WebSocket: FakeSocket, credential: "ann", ...options });
  await settle();
  newest().open();
  newest().bring(welcome(more));
  return gateway;
}

async function entered(gateway, data) {
  const joining = gateway.join("r", { data });
  await settle();
  const { id } = newest().last("join");
  newest().bring({ type: "joined", id, room: "r", member: "me", members: [member("me", data), member("you")], cursor: "e.1", token: token(1) });
  const room = await joining;
  room.log = [];
  for (const type of ["token", "joined", "updated", "left", "signal", "removed", "gap"]) {
    room.addEventListener(type, (e) => room.log.push(type + (e.member ? ` ${e.member.id}` : e.data !== undefined ? ` ${e.data}` : e.token ? ` ${e.token}` : "")));
  }
  return room;
}

/** Lets the wait before the next socket pass, and opens it. */
async function next() {
  mock.timers.tick(10_000);
  await settle();
  newest().open();
  return newest();
}

test("a room's members and its token are always current", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  assert.deepEqual(newest().protocols, ["roompass.v1"]);
  assert.equal(newest().sent[0].credential, "ann");
  assert.equal(room.token.token, "jwt1");
  newest().bring({ type: "member_joined", room: "r", cursor: "e.2", member: member("she") });
  newest().bring({ type: "member_updated", room: "r", cursor: "e.3", member: member("you", 5) });
  newest().bring({ type: "token", room: "r", ...token(2) });
  newest().bring({ type: "member_left", room: "r", cursor: "e.4", member: "she", reason: "left" });
  newest().bring({ type: "signal", room: "r", cursor: "e.5", from: "you", data: "hi" });
  assert.deepEqual(room.log, ["joined she", "updated you", "token jwt2", "left she", "signal hi"]);
  assert.equal(room.token.token, "jwt2");
  assert.deepEqual(room.members.map((m) => m.data), [null, 5]);
  gateway.close();
});

test("a lost socket is resumed by the newest cursors, and what was missed comes once, in order", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  newest().bring({ type: "signal", room: "r", cursor: "e.2", from: "you", data: 1 });
  newest().lost();
  assert.equal(gateway.state, "reconnecting");
  const socket = await next();
  assert.deepEqual(socket.sent[0].resume, { session: "S", secret: "X", rooms: { r: "e.2" }, tokens: { r: 300_001 } });
  const missed = [2, 3].map((n) => ({ type: "signal", room: "r", cursor: `e.${n + 1}`, from: "you", data: n }));
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [], cursor: "e.9", missed }] }));
  socket.bring({ type: "signal", room: "r", cursor: "e.10", from: "you", data: 4 });
  assert.deepEqual(room.log, ["signal 1", "signal 2", "signal 3", "signal 4"]);
  assert.equal(gateway.state, "connected");
  assert.equal(room.token.token, "jwt1", "the token that is still good stays");
  gateway.close();
});

test("after a gap the differences come as events, the token is fresh, and your data is told again", async () => {
  const gateway = await opened();
  const room = await entered(gateway, "mine");
  newest().lost();
  const socket = await next();
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [member("new"), member("me")], cursor: "f.1", gap: true, token: token(7) }] }));
  assert.deepEqual(room.log, ["left you", "joined new", "updated me", "gap", "token jwt7"]);
  await settle();
  assert.equal(socket.last("update").data, "mine");
  gateway.close();
});

test("a session that is not known any more joins its rooms again", async () => {
  const gateway = await opened();
  const room = await entered(gateway, "mine");
  newest().lost();
  const socket = await next();
  socket.bring(welcome({ session: "T" }));
  await settle();
  const { id, data } = socket.last("join");
  assert.equal(data, "mine");
  socket.bring({ type: "joined", id, room: "r", member: "me2", members: [member("me2", "mine")], cursor: "g.1", token: token(9) });
  await settle();
  assert.equal(room.member, "me2");
  assert.equal(room.token.token, "jwt9");
  gateway.close();
});

test("draining: the next socket is opened first, and the old one closed when the new one is welcome", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  const old = newest();
  old.bring({ type: "draining", reconnect_in: 3000 });
  const socket = await next();
  assert.notEqual(socket, old);
  assert.equal(old.readyState, 1);
  old.bring({ type: "signal", room: "r", cursor: "e.2", from: "you", data: "both bring it" });
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [], cursor: "e.2", missed: [{ type: "signal", room: "r", cursor: "e.2", from: "you", data: "both bring it" }] }] }));
  assert.deepEqual(room.log, ["signal both bring it"]);
  assert.equal(old.readyState, 3);
  assert.equal(gateway.state, "connected");
  gateway.close();
});

test("draining onto a pod that doesn't take it: the old socket goes on, with nothing lost", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  const old = newest();
  old.bring({ type: "draining", reconnect_in: 0 });
  const socket = await next();
  old.bring({ type: "signal", room: "r", cursor: "e.2", from: "you", data: "held" });
  socket.lost(1013);
  assert.deepEqual(room.log, ["signal held"]);
  assert.equal(gateway.state, "connected");
  gateway.close();
});

test("each close code does what the contract says", async () => {
  for (const [code, comesBack] of [[1000, false], [1006, true], [1009, false], [1012, true], [1013, true], [4400, false], [4401, false], [4403, false], [4409, false], [4429, true]]) {
    FakeSocket.all = [];
    const gateway = await opened();
    newest().lost(code, "why");
    assert.equal(gateway.state, comesBack ? "reconnecting" : "closed", String(code));
    mock.timers.tick(10_000);
    await settle();
    assert.equal(FakeSocket.all.length, comesBack ? 2 : 1, String(code));
    gateway.close();
  }
});

test("after 4401 a credential is asked for once more", async () => {
  let asked = 0;
  const gateway = await opened({ credential: async () => `c${++asked}` });
  newest().lost(4401);
  const socket = await next();
  assert.equal(socket.sent[0].credential, "c2");
  socket.lost(4401);
  assert.equal(gateway.state, "closed");
});

test("signals wait while there is no socket, go out at the gateway's pace, and overflow is an error", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  newest().lost();
  const results = Array.from({ length: 300 }, (_, n) => room.signal("you", n).then(() => "ok", (why) => why.code));
  const socket = await next();
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [], cursor: "e.1" }] }));
  await settle();
  const signals = () => socket.sent.filter((m) => m.type === "signal");
  assert.equal(signals().length, 48, "a burst");
  gateway.close();
  const codes = await Promise.all(results);
  assert.equal(codes.filter((c) => c === "overflow").length, 44);
  assert.equal(codes.filter((c) => c === "closed").length, 256);
});

test("an error reply rejects its request", async () => {
  const gateway = await opened();
  const joining = gateway.join("r");
  await settle();
  newest().bring({ type: "error", id: newest().last("join").id, code: "room_full", message: "the room is full" });
  await assert.rejects(joining, { name: "RequestError", code: "room_full" });
  gateway.close();
  await assert.rejects(gateway.join("s"), { code: "closed" });
});

test("no timer looks at an expiry", async () => {
  const gateway = await opened();
  await entered(gateway);
  const sockets = FakeSocket.all.length;
  mock.timers.tick(24 * 60 * 60 * 1000);
  await settle();
  assert.equal(FakeSocket.all.length, sockets);
  assert.equal(newest().sent.length, 2, "auth and join, and nothing since");
  gateway.close();
});

test("whom the app couldn't confirm comes back by itself when it can", async () => {
  const gateway = await opened();
  const room = await entered(gateway, 7);
  newest().bring({ type: "removed", room: "r", reason: "unconfirmed" });
  newest().lost(1013, "unconfirmed");
  assert.deepEqual(room.log, ["removed"]);
  (await next()).lost(1013); // it still can't
  const socket = await next();
  assert.deepEqual(socket.last("auth").resume.rooms, { r: "e.1" });
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [member("me", 7), member("you")], cursor: "f.1", token: token(9), gap: true }] }));
  assert.equal(room.token.token, "jwt9");
  assert.equal(gateway.state, "connected");
  room.signal(undefined, 1);
  assert.equal(newest().last("signal").room, "r");
  gateway.close();
});

test("a room that was lost for want of an answer is joined again while the socket stays", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  newest().bring({ type: "removed", room: "r", reason: "unconfirmed" });
  const again = async () => {
    const before = newest().sent.length;
    mock.timers.tick(15_000);
    await settle();
    assert.equal(newest().sent.length, before + 1);
    return newest().last("join").id;
  };
  newest().bring({ type: "error", id: await again(), code: "unavailable", message: "the app can't be asked" });
  await settle();
  newest().bring({ type: "joined", id: await again(), room: "r", member: "me", members: [member("me")], cursor: "e.9", token: token(5) });
  await settle();
  assert.equal(room.token.token, "jwt5");
  assert.deepEqual(room.log, ["removed", "left you", "gap", "token jwt5"]);
  mock.timers.tick(60_000);
  await settle();
  assert.equal(newest().sent.filter((m) => m.type === "join").length, 3);
  gateway.close();
});

test("tokens: what is held now, then each new one; who is slow gets the newest only", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  const tokens = room.tokens();
  assert.equal((await tokens.next()).value.token, "jwt1");
  const waiting = tokens.next();
  newest().bring({ type: "token", room: "r", ...token(2) });
  assert.equal((await waiting).value.token, "jwt2");
  for (const n of [3, 4, 5]) newest().bring({ type: "token", room: "r", ...token(n) });
  assert.equal((await tokens.next()).value.token, "jwt5");
  assert.equal((await room.tokens().next()).value.token, "jwt5", "each iterator is its own");
  const both = [tokens.next(), tokens.next()];
  for (const n of [6, 7]) {
    newest().bring({ type: "token", room: "r", ...token(n) });
    await settle();
  }
  assert.deepEqual((await Promise.all(both)).map(({ value }) => value.token), ["jwt6", "jwt7"]);
  gateway.close();
});

test("tokens end when you leave, are removed, or the connection is closed, and not by unconfirmed or a lost socket", async () => {
  for (const [how, end] of Object.entries({
    left: (gateway, room) => { room.leave(); newest().bring({ type: "left", id: newest().last("leave").id, room: "r" }); },
    removed: () => newest().bring({ type: "removed", room: "r", reason: "kicked" }),
    closed: (gateway) => gateway.close(),
    refused: () => newest().lost(4403),
  })) {
    const gateway = await opened();
    const room = await entered(gateway);
    const seen = [];
    const ended = (async () => { for await (const { token } of room.tokens()) seen.push(token); })();
    await settle();
    newest().bring({ type: "removed", room: "r", reason: "unconfirmed" });
    newest().lost(1013);
    const socket = await next();
    socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [], cursor: "e.1", gap: true, token: token(2) }] }));
    await settle();
    end(gateway, room);
    await ended;
    assert.deepEqual(seen, ["jwt1", "jwt2"], how);
    assert.equal((await room.tokens().next()).done, true, how);
    gateway.close();
  }
});

test("a loop over tokens can be left, and an iterator that waits can be ended from elsewhere", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  for await (const { token } of room.tokens()) {
    assert.equal(token, "jwt1");
    break;
  }
  const tokens = room.tokens();
  await tokens.next();
  const waiting = tokens.next();
  await tokens.return();
  assert.equal((await waiting).done, true);
  gateway.close();
});

test("to join again goes before what waits to be said there, also where no more can wait", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  newest().lost();
  for (let n = 0; n < 256; n++) room.signal("you", n);
  const socket = await next();
  socket.bring(welcome({ session: "T" }));
  assert.deepEqual(socket.sent.slice(1, 3).map((m) => m.type), ["join", "signal"]);
  gateway.close();
});

test("to join again is tried again, unless you may not: then you are removed", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  newest().lost();
  const socket = await next();
  socket.bring(welcome({ session: "T" }));
  socket.bring({ type: "error", id: socket.last("join").id, code: "unavailable", message: "not now" });
  await settle();
  mock.timers.tick(15_000);
  await settle();
  const joins = socket.sent.filter((m) => m.type === "join");
  assert.equal(joins.length, 2);
  socket.bring({ type: "error", id: joins[1].id, code: "not_allowed", message: "no" });
  await settle();
  assert.deepEqual(room.log, ["removed"]);
  assert.equal((await room.tokens().next()).done, true);
  gateway.close();
});

const hours = 60 * 60 * 1000;

/** A gateway whose session lasts twelve hours, with a new credential for each time that it is asked. */
async function provable() {
  const asked = { times: 0 };
  const gateway = await opened({ credential: async () => `c${++asked.times}` }, { session_expires_in: 12 * hours });
  return { gateway, asked };
}

test("who stays for long proves it anew on the open socket, before the session ends, each time", async () => {
  const { gateway, asked } = await provable();
  const room = await entered(gateway);
  const socket = newest();
  for (const n of [2, 3, 4]) {
    mock.timers.tick(6 * hours - 1);
    await settle();
    assert.equal(asked.times, n - 1, "not before half of it is over");
    mock.timers.tick(3 * hours + 1);
    await settle();
    const { id, ...auth } = socket.last("auth");
    assert.deepEqual(auth, { type: "auth", credential: `c${n}` });
    socket.bring({ type: "ok", id, secret: `X${n}`, session_expires_in: 12 * hours });
    await settle();
  }
  assert.equal(FakeSocket.all.length, 1);
  socket.lost();
  const { resume } = (await next()).sent[0];
  assert.equal(resume.secret, "X4", "the newest secret");
  assert.deepEqual(room.log, []);
  gateway.close();
});

test("a credential that can't be had or isn't taken is asked for again, within a minute, until the session ends", async () => {
  let asked = 0;
  const gateway = await opened({ credential: async () => { if (++asked === 2) throw new Error("offline"); return `c${asked}`; } }, { session_expires_in: 12 * hours });
  const socket = newest();
  mock.timers.tick(9 * hours);
  await settle();
  assert.equal(asked, 2);
  assert.equal(socket.last("auth").credential, "c1");
  for (const [n, code] of [[3, "unavailable"], [4, "not_allowed"]]) {
    mock.timers.tick(60_000);
    await settle();
    assert.equal(socket.last("auth").credential, `c${n}`);
    socket.bring({ type: "error", id: socket.last("auth").id, code, message: "no" });
    await settle();
  }
  mock.timers.tick(60_000);
  await settle();
  socket.bring({ type: "ok", id: socket.last("auth").id, secret: "Y", session_expires_in: 12 * hours });
  await settle();
  mock.timers.tick(6 * hours - 1);
  await settle();
  assert.equal(asked, 5);
  assert.equal(gateway.state, "connected");
  gateway.close();
});

test("a credential that never comes holds nothing up: the session ends with 4401, and the next socket asks anew", async () => {
  let asked = 0;
  const gateway = await opened({ credential: () => ++asked === 2 ? new Promise(() => {}) : `c${asked}` }, { session_expires_in: 12 * hours });
  const room = await entered(gateway, "mine");
  mock.timers.tick(12 * hours);
  await settle();
  newest().bring({ type: "token", room: "r", ...token(2) });
  newest().lost(4401, "the session is over: authenticate anew");
  assert.equal(gateway.state, "reconnecting");
  const socket = await next();
  assert.equal(socket.sent[0].credential, "c3");
  socket.bring(welcome({ session: "T", session_expires_in: 12 * hours }));
  socket.bring({ type: "joined", id: socket.last("join").id, room: "r", member: "me2", members: [member("me2")], cursor: "g.1", token: token(3) });
  await settle();
  assert.deepEqual(room.log, ["token jwt2", "left me", "left you", "joined me2", "gap", "token jwt3"]);
  gateway.close();
});

test("where a cookie is the credential, another socket is opened to show it, and resumed", async () => {
  const gateway = await opened({ credential: () => undefined }, { session_expires_in: 12 * hours });
  const old = newest();
  mock.timers.tick(9 * hours);
  await settle();
  newest().open();
  assert.notEqual(newest(), old);
  assert.equal(newest().sent[0].resume.secret, "X");
  assert.equal(old.readyState, 1);
  newest().bring(welcome({ resumed: true, session_expires_in: 12 * hours }));
  assert.equal(gateway.state, "connected");
  gateway.close();
});

test("a credential that is a text isn't shown again, and the session's length arms no timer", async () => {
  const gateway = await opened({}, { session_expires_in: 12 * hours });
  mock.timers.tick(13 * hours);
  await settle();
  assert.equal(newest().sent.length, 1);
  gateway.close();
});

/** Gives this process what a page has: window's events and a document. */
function page(t) {
  const [window, document] = [new EventTarget(), Object.assign(new EventTarget(), { visibilityState: "visible" })];
  const had = {};
  for (const [name, value] of Object.entries({
    document, addEventListener: window.addEventListener.bind(window), removeEventListener: window.removeEventListener.bind(window),
  })) {
    had[name] = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  t.after(() => { for (const name in had) if (had[name]) Object.defineProperty(globalThis, name, had[name]); else delete globalThis[name]; });
  return { window, document, tell: (target, type, more) => target.dispatchEvent(Object.assign(new Event(type), more)) };
}

test("a page that slept over the moment proves it when it wakes, and not while it is hidden", async (t) => {
  const { window, document, tell } = page(t);
  for (const [target, type] of [[document, "visibilitychange"], [window, "pageshow"]]) {
    FakeSocket.all = [];
    const { gateway, asked } = await provable();
    tell(target, type);
    await settle();
    assert.equal(asked.times, 1, "it isn't due");
    mock.timers.setTime(Date.now() + 10 * hours); // timers sleep, the clock doesn't
    document.visibilityState = "hidden";
    tell(target, type);
    await settle();
    assert.equal(asked.times, 1);
    document.visibilityState = "visible";
    tell(target, type);
    tell(target, type);
    await settle();
    assert.equal(asked.times, 2, "once");
    assert.equal(newest().last("auth").credential, "c2");
    gateway.close();
  }
});

test("a page that slept until the session was over comes back by another one, without 4401 also", async (t) => {
  const { document, tell } = page(t);
  const { gateway } = await provable();
  const room = await entered(gateway);
  mock.timers.setTime(Date.now() + 20 * hours);
  tell(document, "visibilitychange");
  const socket = await next();
  assert.equal(socket.sent[0].credential, "c2");
  socket.bring(welcome({ session: "T", session_expires_in: 12 * hours }));
  socket.bring({ type: "joined", id: socket.last("join").id, room: "r", member: "me2", members: [member("me2")], cursor: "g.1", token: token(3) });
  await settle();
  assert.equal(room.token.token, "jwt3");
  gateway.close();
});

test("visibilitychange and pageshow end the wait for the next socket; one that is hidden waits on", async (t) => {
  const { window, document, tell } = page(t);
  for (const [target, type] of [[document, "visibilitychange"], [window, "pageshow"]]) {
    FakeSocket.all = [];
    const gateway = await opened();
    newest().lost();
    document.visibilityState = "hidden";
    tell(target, type);
    await settle();
    assert.equal(FakeSocket.all.length, 1);
    document.visibilityState = "visible";
    tell(target, type);
    await settle();
    assert.equal(FakeSocket.all.length, 2, type);
    newest().open();
    newest().bring(welcome({ resumed: true }));
    assert.equal(gateway.state, "connected");
    gateway.close();
    tell(target, type);
    await settle();
    assert.equal(FakeSocket.all.length, 2, "closed is closed");
  }
});

test("a page that is looked at again doesn't trust a socket on which nothing came for as long as a token lives", async (t) => {
  const { window, document, tell } = page(t);
  for (const [target, type] of [[document, "visibilitychange"], [window, "pageshow"]]) {
    FakeSocket.all = [];
    const gateway = await opened();
    await entered(gateway);
    const old = newest();
    mock.timers.setTime(Date.now() + 300_000); // no close came: it was all asleep
    tell(target, type);
    await settle();
    assert.equal(FakeSocket.all.length, 1, "a push may be that late");
    mock.timers.setTime(Date.now() + 1);
    tell(target, type);
    await settle();
    tell(target, type);
    await settle();
    assert.equal(FakeSocket.all.length, 2, type);
    mock.timers.setTime(Date.now() + 300_001);
    tell(target, type);
    await settle();
    const [, stuck, socket, ...more] = FakeSocket.all;
    assert.deepEqual([stuck.readyState, more.length], [3, 0], "nor one that was never open");
    socket.open();
    mock.timers.setTime(Date.now() + 300_001);
    tell(target, type);
    await settle();
    assert.equal(FakeSocket.all.length, 3, "this one is about to be welcome");
    socket.bring(welcome({ resumed: true }));
    assert.equal(old.closedWith, 1000);
    assert.equal(gateway.state, "connected");
    gateway.close();
  }
});

test("a page that the browser had kept comes back by another socket at once, before it is told that the old one is gone", async (t) => {
  const { window, tell } = page(t);
  const gateway = await opened();
  const [old] = FakeSocket.all;
  tell(window, "pagehide", { persisted: true });
  tell(window, "pageshow", { persisted: true });
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  old.lost();
  newest().open();
  newest().bring(welcome({ resumed: true }));
  assert.equal(gateway.state, "connected");
  assert.equal(FakeSocket.all.length, 2);
  gateway.close();
});

test("resumed by ourselves on a socket whose welcome was lost, the old one's 4409 is no end", async () => {
  const gateway = await opened();
  const [old] = FakeSocket.all;
  old.bring({ type: "draining", reconnect_in: 0 });
  (await next()).lost();
  old.lost(4409);
  assert.equal(gateway.state, "reconnecting");
  const socket = await next();
  socket.bring(welcome({ resumed: true }));
  socket.lost(4409);
  assert.equal(gateway.state, "closed", "this was somebody else");
});

test("online: another socket is tried at once beside the one that may be dead; pagehide says goodbye, unless the page is kept", async (t) => {
  const { window, tell } = page(t);
  const gateway = await opened();
  const old = newest();
  tell(window, "online");
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  newest().open();
  newest().bring(welcome({ resumed: true }));
  assert.equal(old.readyState, 3);
  tell(window, "pagehide", { persisted: true });
  assert.equal(gateway.state, "connected");
  tell(window, "pagehide", { persisted: false });
  assert.equal(gateway.state, "closed");
  assert.equal(newest().closedWith, 1000);
});

test("what waited for a socket goes out in order, once, and a signal that is lost on the way isn't sent again", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  const lost = room.signal("you", "on its way");
  newest().lost();
  await assert.rejects(lost, { code: "lost" });
  for (const n of [1, 2, 3]) room.signal("you", n);
  const socket = await next();
  assert.equal(socket.last("signal"), undefined, "not before it is welcome");
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [], cursor: "e.1" }] }));
  assert.deepEqual(socket.sent.filter((m) => m.type === "signal").map((m) => m.data), [1, 2, 3]);
  gateway.close();
});

test("a second resume goes on from what the first brought", async () => {
  const gateway = await opened();
  const room = await entered(gateway);
  const event = (n) => ({ type: "signal", room: "r", cursor: `e.${n}`, from: "you", data: n });
  newest().lost();
  let socket = await next();
  socket.bring(welcome({ resumed: true, secret: "Y", rooms: [{ room: "r", member: "me", members: [], cursor: "e.3", missed: [event(2), event(3)] }] }));
  socket.lost();
  socket = await next();
  assert.deepEqual(socket.sent[0].resume, { session: "S", secret: "Y", rooms: { r: "e.3" }, tokens: { r: 300_001 } });
  socket.bring(welcome({ resumed: true, rooms: [{ room: "r", member: "me", members: [], cursor: "e.4", missed: [event(4)] }] }));
  assert.deepEqual(room.log, ["signal 2", "signal 3", "signal 4"]);
  gateway.close();
});
