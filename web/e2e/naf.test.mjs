// What the product is for: naf-janus-adapter as npm has it, in Chromium, before a Janus that takes no token a second
// after its expiry. Its tokens live for eight seconds. Ann, Bob and Dora have bindJanus; Carl ended his.
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { decodeJwt } from "jose";
import { bundleAdapter, hears as hearsOne, openPage } from "./adapter.mjs";
import { bin, eventually, freePort, inRoom, isReady, launch, problems, start, stop } from "./harness.mjs";
import { startJanus } from "./janus.mjs";

const ttl = 8; // seconds
const dir = mkdtempSync(join(tmpdir(), "roompass-"));
const people = {};
let gateway, listen, operator, base, file, janus, browser;

// What the adapter says by console on purpose: somebody left while it subscribed to them, isn't heard, which is Carl's
// lot, or kicked it. And what Chromium says of sockets while the pod is restarted.
const quiet = [
  /: cancel(led)? occupant connection, occupant left /,
  /: webrtc up timed out, retrying$/,
  /^ICE failure detected\. Reconnecting in 10s\.$/,
  /^WebSocket connection to 'ws:[^']*\/ws' failed: /,
];

async function startGateway() {
  gateway = start(bin, ["serve", "--dev", "--key", join(dir, "key.pem"), "--listen", listen, "--admin-listen", operator,
    "--token-ttl", `${ttl}s`, "--token-refresh", "5s", "--drain", "3s"]);
  await eventually("the gateway is ready", () => isReady(`http://${operator}`));
}

before(async () => {
  file = bundleAdapter(dir);
  [listen, operator] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  base = `http://${listen}`;
  assert.equal(await stop(start(bin, ["keygen", "--out", dir]), 0) ?? 0, 0);
  await startGateway();
  janus = await startJanus(await (await fetch(`${base}/public.pem`)).text());
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await janus?.close();
  await stop(gateway);
});

/**
 * Notes what a person's sockets bring, in order: the tokens, and whether each socket resumed a session. It is the
 * reference: no code of the page has a part in it.
 */
function watchSockets(page) {
  const [pushes, resumed] = [[], []];
  page.on("websocket", (socket) => {
    if (!socket.url().endsWith("/ws")) return;
    socket.on("framereceived", ({ payload }) => {
      const message = JSON.parse(payload);
      if (message.type === "welcome") resumed.push(message.resumed);
      if (message.type === "token") pushes.push(message.token);
      for (const state of message.type === "welcome" ? message.rooms : [message]) if (state.token?.token) pushes.push(state.token.token);
    });
  });
  return { pushes, resumed };
}

/** Has somebody enter, by the calls and in the order that networked-aframe makes them. */
async function enter(name) {
  const page = await openPage(browser, base, { name, file, quiet });
  const person = people[name] = { name, page, ...watchSockets(page) };
  person.id = await page.evaluate(async ([name, janus]) => {
    const { connect } = await import("/client.js");
    const { bindJanus } = await import("/janus.js");
    const gateway = connect(new URL("/ws", location.href.replace("http", "ws")), { credential: name });
    const room = await gateway.join("lobby", { data: { name } });

    const adapter = await makeAdapter({ id: room.member, url: janus, room: room.name });
    const held = []; // after each setJoinToken
    const set = adapter.setJoinToken;
    adapter.setJoinToken = (token) => { set.call(adapter, token); held.push(adapter.joinToken); };
    const bind = () => bindJanus(adapter, room);
    const me = window.me = { gateway, room, adapter, held, bind, unbind: bind(), said: [] };

    adapter.setDataChannelListeners(() => {}, () => {}, (_, type, data) => me.said.push([type, data]));
    await adapter.connect();
    adapter.syncOccupants(adapter.availableOccupants);
    return room.member;
  }, [name, janus.url]);
  return person;
}

const hears = (person, other) => hearsOne(person.page, other.id);
const held = (person) => inRoom(person.page, () => window.me.held);
/** A person's first join for somebody's audio, as Janus saw it. */
const joinFor = (person, other) => janus.joins.find((j) => j.user === person.id && j.media === other.id);
const isExpired = (token) => decodeJwt(token).exp * 1000 < Date.now();

/** Waits for somebody's next push, and returns it. */
async function pushed(person) {
  const count = person.pushes.length;
  await eventually(`${person.name} gets a token`, () => person.pushes.length > count);
  return person.pushes.at(-1);
}

/** Waits until a person's adapter holds what was pushed, all of it and in order. */
const heldAll = (person) => eventually(`${person.name} holds what was pushed`, async () => {
  const tokens = await held(person);
  return tokens.length >= person.pushes.length && tokens.join() === person.pushes.join();
});

test("with bindJanus they enter and hear each other", { timeout: 300_000 }, async () => {
  for (const name of ["Ann", "Carl", "Dora"]) await enter(name);
  const all = Object.values(people);
  for (const one of all) {
    for (const other of all) if (one !== other) await eventually(`${one.name} hears ${other.name}`, () => hears(one, other));
  }
  assert.deepEqual(janus.joins.filter((j) => j.refused), []);
  const { Carl: carl } = people;
  carl.last = await inRoom(carl.page, () => { window.me.unbind(); return window.me.adapter.joinToken; });
});

test("the adapter holds every push, in order, also after a drop and a pod's restart", { timeout: 300_000 }, async () => {
  const { Ann: ann, Dora: dora } = people;
  // Each fault follows a push at once, so that no other is on its way.
  await pushed(ann);
  await inRoom(ann.page, () => window.me.gateway.drop());
  await eventually("her session is resumed", () => ann.resumed.at(-1));
  await pushed(ann);
  const all = Object.values(people);
  const sockets = all.map((person) => person.resumed.length);
  assert.equal(await stop(gateway), 0, gateway.log);
  await startGateway();
  // Who finds no pod waits a while before looking again, and until then may well hold a token that has run out.
  await eventually("all are back", () => all.every((person, i) => person.resumed.length > sockets[i]));
  await Promise.all(all.map(pushed));
  for (const person of [ann, dora]) await heldAll(person);
});

test("unbound it gets no more", { timeout: 300_000 }, async () => {
  const { Carl: carl } = people;
  await eventually("Carl's page has a later token", () => inRoom(carl.page, (token) => window.me.room.token.token === token, carl.pushes.at(-1)));
  assert.ok(carl.pushes.indexOf(carl.last) < carl.pushes.length - 1);
  assert.equal((await held(carl)).at(-1), carl.last);
});

test("when its Janus socket is cut the adapter joins again, with the newest token", { timeout: 300_000 }, async () => {
  const { Ann: ann, Dora: dora } = people;
  await eventually("her first token is expired", () => isExpired(dora.pushes[0]));
  for (const code of [1012, undefined]) {
    const [joined, newest] = [janus.joins.length, dora.pushes.length - 1];
    janus.cut(dora.id, code);
    const again = await eventually("Dora joins again", () => janus.joins.slice(joined).find((j) => j.user === dora.id && j.media === null));
    assert.equal(again.refused, undefined, `her gateway is ${await inRoom(dora.page, () => window.me.gateway.state)}`);
    await eventually("it is the newest, or one that came just now", () => dora.pushes.indexOf(again.token) >= newest);
    await eventually("Ann asks for her again", () => janus.joins.slice(joined).some((j) => j.user === ann.id && j.media === dora.id));
    await eventually("Dora hears Ann again", () => hears(dora, ann));
    await eventually("Ann hears Dora again", () => hears(ann, dora));
  }
});

test("after five lifetimes who has bindJanus hears a newcomer, and who has ended it doesn't", { timeout: 300_000 }, async () => {
  const { Ann: ann, Carl: carl } = people;
  const { iat } = decodeJwt(ann.pushes[0]);
  await eventually("five lifetimes have passed", () => Date.now() > (iat + 5 * ttl) * 1000, 60_000);
  const bob = await enter("Bob");

  const asked = await eventually("Ann asks for Bob", () => joinFor(ann, bob));
  assert.equal(asked.refused, undefined);
  await eventually("it is a late one", () => ann.pushes.indexOf(asked.token) >= 5);
  await eventually("Ann hears Bob", () => hears(ann, bob));
  await eventually("Bob hears Ann", () => hears(bob, ann));
  await inRoom(bob.page, () => window.me.adapter.broadcastDataGuaranteed("chat", "hello"));
  await eventually("Ann reads what Bob says", async () => (await inRoom(ann.page, () => window.me.said.join())) === "chat,hello");
  await heldAll(ann);

  const deaf = await eventually("Carl asks for Bob", () => joinFor(carl, bob));
  assert.equal(deaf.refused, "Rejecting join with invalid token!");
  assert.equal(deaf.token, carl.last);
  assert.equal(await hears(carl, bob), false);
  assert.deepEqual(janus.joins.filter((j) => j.refused && j.user !== carl.id), [], "nobody else was ever refused");
  await inRoom(carl.page, () => { window.me.bind(); });
});

test("the newest token kicks, where it may", { timeout: 300_000 }, async () => {
  const { Ann: ann, Carl: carl, Dora: dora } = people;
  const kick = (who, token) => inRoom(ann.page, ([id, token]) => window.me.adapter.kick(id, token ?? window.me.room.token.token), [who.id, token]);
  await kick(dora, carl.last);
  assert.equal(janus.kicks.at(-1).done, false, "an expired one doesn't, though the plugin says so to nobody");
  await kick(dora);
  assert.equal(janus.kicks.at(-1).done, true);
  await eventually("Ann sees her go", () => inRoom(ann.page, (id) => !(id in window.me.adapter.occupants), dora.id));
});

test("bound late, Carl hears Bob as soon as his adapter asks again", { timeout: 300_000 }, async () => {
  const { Bob: bob, Carl: carl } = people;
  await eventually("Carl hears Bob", () => hears(carl, bob), 40_000);
  assert.deepEqual(problems, []);
});
