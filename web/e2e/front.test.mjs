// The front of Janus before what it is for: naf-janus-adapter as npm has it, which got a token once and gets no other.
// Tokens live for ten seconds. Three pods over one Redis, behind a balancer, stand before two Janus servers; those take
// no token a second after its expiry, and whatever happens to them, to the pods and to a browser's network, people hear
// each other again by themselves. Ann, Bob and Carl set one token each; Dora never heard of tokens.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { decodeJwt } from "jose";
import { bundleAdapter, hears, openPage } from "./adapter.mjs";
import { bin, eventually, freePort, inRoom, isReady, launch, problems, start, stop } from "./harness.mjs";
import { startJanus } from "./janus.mjs";

const ttl = 10, margin = 3; // seconds
const admin = "the-key-of-the-operator"; // of the API
const dir = mkdtempSync(join(tmpdir(), "roompass-"));
const [pods, servers, people] = [[], [], {}];
let redis, redisPort, balancer, browser, base, file;

// What the adapter and Chromium say of sockets that are cut, which the tests do all the time; and the adapter of whoever
// left while it subscribed to them.
const quiet = [
  /: cancel(led)? occupant connection, occupant left /,
  /: webrtc up timed out, retrying$/,
  /^ICE failure detected\. Reconnecting in 10s\.$/,
  /^Error during reconnect, retrying\.$/,
  /^(Type)?Error\b/, // and why
  /^WebSocket is already in CLOSING or CLOSED state\.$/,
  /^Janus still has previous session for this client\. Reconnecting in 10s\.$/,
  /^WebSocket connection to 'ws:[^']*\/janus[^']*' failed: /,
  /^Failed to load resource: net::ERR_/,
];

async function startPod(pod) {
  pod.program = start(bin, ["serve", "--dev", "--key", join(dir, "key.pem"), "--redis", `redis://127.0.0.1:${redisPort}`,
    "--pod-id", pod.name, "--listen", pod.listen, "--admin-listen", pod.operator, "--admin-key", admin,
    "--token-ttl", `${ttl}s`, "--token-refresh", `${ttl - margin}s`, "--linger", "60s", ...servers.flatMap(({ url }) => ["--janus", url])]);
  await eventually(`${pod.name} is ready`, () => isReady(`http://${pod.operator}`));
}

const newPod = async (name) => ({ name, listen: `127.0.0.1:${await freePort()}`, operator: `127.0.0.1:${await freePort()}` });

before(async () => {
  file = bundleAdapter(dir);
  assert.equal(await stop(start(bin, ["keygen", "--out", dir]), 0) ?? 0, 0);
  const pem = readFileSync(join(dir, "public.pem"), "utf8");
  servers.push(...await Promise.all([startJanus(pem), startJanus(pem)]));
  redisPort = await freePort();
  redis = start("redis-server", ["--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--dir", dir]);
  await eventually("Redis answers", () => redis.log.includes("Ready to accept connections"));
  for (let i = 0; i < 3; i++) pods.push(await newPod(`pod${i}`));
  await Promise.all(pods.map(startPod));
  const port = await freePort();
  base = `127.0.0.1:${port}`;
  writeFileSync(join(dir, "haproxy.cfg"), `
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option redispatch 1
  retries 3
frontend public
  bind ${base}
  default_backend pods
backend pods
  balance leastconn
  option httpchk GET /readyz
  timeout check 2s
  default-server check inter 100ms fall 1 rise 1
${pods.map(({ name, listen, operator }) => `  server ${name} ${listen} port ${operator.split(":")[1]}`).join("\n")}
`);
  balancer = start("haproxy", ["-f", join(dir, "haproxy.cfg"), "-db"]);
  await eventually("the balancer answers", () => fetch(`http://${base}/client.js`).then((r) => r.ok, () => false));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  for (const person of Object.values(people)) person.cable.close();
  for (const program of [balancer, ...pods.map((pod) => pod.program), redis]) await stop(program, "SIGKILL");
  for (const janus of servers) await janus.close("SIGKILL");
});

/**
 * A person's network. When it is cut the browser finds its connections gone, and nobody tells the other side: for that
 * one they go on, and are silent.
 */
async function layCable() {
  const near = new Set();
  const server = createServer((socket) => {
    const far = connect(Number(base.split(":")[1]), "127.0.0.1");
    socket.pipe(far);
    far.pipe(socket);
    near.add(socket);
    socket.on("error", () => {}).on("close", () => { near.delete(socket); if (!socket.cut) far.destroy(); });
    far.on("error", () => {}).on("close", () => { if (!socket.cut) socket.destroy(); });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of near) {
      socket.cut = true;
      socket.unpipe();
      socket.destroy();
    }
  };
  return { address: `127.0.0.1:${server.address().port}`, cut, close() { cut(); server.close(); } };
}

/**
 * Has somebody enter the lobby, with a token that is set once, or without one. It is got as late as can be: a busy machine
 * takes its time for a page.
 */
async function enter(name, hasToken = true) {
  const cable = await layCable();
  const page = await openPage(browser, `http://${cable.address}`, { name, file, quiet });
  const person = people[name] = { name, page, cable };
  person.token = await page.evaluate(async ([id, url, hasToken]) => {
    const me = window.me = { closes: [], comesBack: 0 };
    window.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        this.addEventListener("close", ({ code }) => me.closes.push(code));
      }
    };
    const adapter = me.adapter = await makeAdapter({ id, url, room: "lobby" });
    adapter.setReconnectionListeners(() => { me.comesBack++; }, () => {}, (why) => console.error(why));
    const token = hasToken ? (await (await fetch("/v1/token", { method: "POST", body: JSON.stringify({ credential: id, room: "lobby" }) })).json()).token : null;
    if (token) adapter.setJoinToken(token);
    await adapter.connect();
    adapter.syncOccupants(adapter.availableOccupants);
    return token;
  }, [name, `ws://${cable.address}/janus?room=lobby`, hasToken]);
  return person;
}

/** Waits until all who are there hear each other. */
async function allHear() {
  const all = Object.values(people);
  for (const { name, page } of all) {
    const deaf = new Set(all.map((other) => other.name).filter((other) => other !== name));
    await eventually(`${name} hears everybody`, async () => {
      for (const other of deaf) if (await hears(page, other)) deaf.delete(other);
      return deaf.size === 0;
    }, 90_000);
  }
}

const isProbe = ({ user }) => user === "roompass-probe";
/** All that people asked of either server. */
const joins = () => servers.flatMap((janus) => janus.joins).filter((j) => !isProbe(j));
/** How often somebody has come in. */
const entries = (person) => joins().filter((j) => j.user === person.name && j.media === null && !j.refused).length;
const closes = (person) => inRoom(person.page, () => window.me.closes);

/** Waits until everybody is on one server and hears everybody, and no adapter means to come back once more, and returns the server. */
async function settle() {
  const all = Object.values(people);
  // When it finds itself in Janus still, or media have failed, it waits for ten seconds.
  for (const { name, page } of all) await eventually(`${name} is at rest`, () => inRoom(page, () => !window.me.adapter.delayedReconnectTimeout));
  await allHear();
  return eventually("they are on one server", () => {
    const on = servers.filter((janus) => all.some(({ name }) => janus.publisher(name)));
    return on.length === 1 && all.every(({ name }) => on[0].publisher(name)) && on[0];
  });
}

/** Does something that has people come back, and waits until they have, and hear each other; returns the server. */
async function comeBack(those, fault) {
  const before = new Map(those.map((person) => [person, entries(person)]));
  await fault();
  for (const person of those) await eventually(`${person.name} is back`, () => entries(person) > before.get(person), 60_000);
  return settle();
}

const operate = async (pod, method, path) => {
  const answer = await fetch(`http://${pod.operator}/v1/${path}`, { method, headers: { Authorization: `Bearer ${admin}` } });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok || await answer.text()}`);
  return answer.status === 204 ? undefined : answer.json();
};

test("with one token each, or none, they meet on one server, whichever pod they come by", { timeout: 300_000 }, async () => {
  await enter("Ann");
  await enter("Bob");
  await enter("Dora", false);
  const janus = await settle();
  const views = await Promise.all(pods.map(async (pod) => (await operate(pod, "GET", "janus")).servers.find((s) => s.server === janus.name)));
  assert.ok(views.filter(({ sockets }) => sockets > 0).length > 1, "they came by several pods");
  for (const { joins } of servers) {
    const [bare, shown] = [joins.filter((j) => isProbe(j) && !j.token), joins.filter((j) => isProbe(j) && j.token)];
    assert.deepEqual(bare.map((j) => j.refused), pods.map(() => "Rejecting anonymous join!"), "each pod looked whether it lets in everybody");
    assert.deepEqual(shown.map((j) => j.refused), pods.map(() => undefined), "and whether it takes our tokens");
  }
});

test("Debian's Janus, before which the same front stands, echoes a call", { timeout: 300_000 }, async () => {
  const pod = await newPod("echo");
  pod.program = start(bin, ["serve", "--dev", "--pod-id", pod.name, "--listen", pod.listen, "--admin-listen", pod.operator,
    "--janus", servers[0].transport, "--janus-plugin", "janus.plugin.echotest", "--janus-optional"]);
  await eventually("its pod is ready", () => isReady(`http://${pod.operator}`));
  const page = await openPage(browser, `http://${pod.listen}`, { name: "Eve", file, quiet });
  const { answered, said, refused } = await page.evaluate(async () => {
    const socket = new WebSocket(new URL("/janus", location.href.replace("http", "ws")), "janus-protocol");
    await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
    const waiting = new Map();
    const answered = {};
    let count = 0, session_id, handle_id;
    const ask = (janus, more) => new Promise((resolve) => {
      const transaction = `${janus} ${++count}`;
      waiting.set(transaction, { resolve, janus });
      socket.send(JSON.stringify({ janus, transaction, session_id, handle_id, ...more }));
    });
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      const asked = waiting.get(message.transaction);
      if (!asked || message.janus === "ack" && asked.janus === "message") return;
      answered[asked.janus] = message.janus;
      asked.resolve(message);
    };
    session_id = (await ask("create")).data.id;
    const refused = (await ask("attach", { plugin: "janus.plugin.sfu" })).error.reason;
    handle_id = (await ask("attach", { plugin: "janus.plugin.echotest" })).data.id;
    await ask("keepalive", { handle_id: undefined });

    const conn = window.conn = new RTCPeerConnection({ iceServers: [] });
    const audio = new AudioContext();
    const [tone, microphone] = [audio.createOscillator(), audio.createMediaStreamDestination()];
    tone.connect(microphone);
    tone.start();
    conn.addTrack(microphone.stream.getAudioTracks()[0], microphone.stream);
    const channel = conn.createDataChannel("JanusDataChannel");
    const said = new Promise((resolve) => { channel.onmessage = ({ data }) => resolve(data); });
    channel.onopen = () => channel.send("hello");
    conn.onicecandidate = ({ candidate }) => ask("trickle", { candidate: candidate ?? { completed: true } });
    await conn.setLocalDescription();
    const { jsep, plugindata } = await ask("message", { body: { audio: true, video: false }, jsep: conn.localDescription });
    if (!jsep) throw new Error(JSON.stringify(plugindata));
    await conn.setRemoteDescription(jsep);
    return { answered, said: await said, refused };
  });
  assert.equal(said, "Janus EchoTest here! You wrote: hello");
  assert.equal(refused, "No such plugin");
  assert.deepEqual(answered, { create: "success", attach: "success", keepalive: "ack", trickle: "ack", message: "event" });
  await eventually("her own voice comes back", () => inRoom(page, async () =>
    [...(await window.conn.getStats()).values()].some((r) => r.type === "inbound-rtp" && r.kind === "audio" && r.packetsReceived > 0)));
  await page.context().close();
  assert.equal(await stop(pod.program), 0, pod.program.log);
});

test("after five lifetimes they hear a newcomer, who hears them", { timeout: 300_000 }, async () => {
  const { Ann: ann, Bob: bob } = people;
  const { exp } = decodeJwt(bob.token);
  await eventually("five lifetimes have passed", () => Date.now() > (exp + 4 * ttl) * 1000, 60_000);
  await enter("Carl");
  await settle();
  for (const person of [ann, bob]) {
    assert.deepEqual(await closes(person), [], "they never came back, where a token is shown anew");
    assert.equal(await inRoom(person.page, () => window.me.adapter.joinToken), person.token, "nobody gave them another");
    assert.equal(joins().find((j) => j.user === person.name && j.media === "Carl").refused, undefined);
  }
});

test("whose socket Janus cuts comes back, with the token that has long run out", { timeout: 300_000 }, async () => {
  const { Ann: ann, Dora: dora } = people;
  const janus = await settle();
  for (const person of [ann, dora]) {
    assert.equal(await comeBack([person], () => janus.cut(person.name)), janus);
    assert.deepEqual(await closes(person), [1012]);
  }
});

test("whose network is cut comes back, before anybody knows that they were gone", { timeout: 300_000 }, async () => {
  const { Bob: bob } = people;
  await comeBack([bob], () => bob.cable.cut());
  // Where it finds itself in Janus still, it hangs up and tries again.
  const [first, ...later] = await closes(bob);
  assert.equal(first, 1006);
  assert.ok(!later.includes(1000), `it was told to stay away: ${later}`);
});

test("all come back when the pods are restarted", { timeout: 300_000 }, async () => {
  const all = Object.values(people);
  await comeBack(all, async () => {
    for (const pod of pods) {
      assert.equal(await stop(pod.program), 0, pod.program.log);
      await startPod(pod);
    }
  });
  for (const person of all) assert.ok((await closes(person)).includes(1012));
});

test("a server that is drained gives the room to the other", { timeout: 300_000 }, async () => {
  const before = await settle();
  const path = `janus/${encodeURIComponent(before.name)}/drain`;
  assert.notEqual(await comeBack(Object.values(people), () => operate(pods[0], "POST", path)), before);
  await operate(pods[1], "DELETE", path);
});

test("a server that dies does, too", { timeout: 300_000 }, async () => {
  const before = await settle();
  assert.notEqual(await comeBack(Object.values(people), () => before.close("SIGKILL")), before);
  await before.start();
  for (const pod of pods) {
    await eventually(`${pod.name} sees it again`, async () => (await operate(pod, "GET", "janus")).servers.every((s) => s.state === "ready"));
  }
});

test("who is kicked stays away, whoever did it", { timeout: 300_000 }, async () => {
  const { Ann: ann, Bob: bob, Carl: carl, Dora: dora } = people;
  const janus = await settle();
  const member = async (name) => (await operate(pods[0], "GET", "rooms/lobby")).members.find((m) => m.data.user_id === name).id;
  const ways = new Map([
    [carl, async (id) => inRoom(ann.page, async (id) => {
      const { connect } = await import("/client.js");
      const gateway = connect(new URL("/ws", location.href.replace("http", "ws")), { credential: "the moderator" });
      const room = await gateway.join("lobby");
      await room.kick(id);
      room.leave();
    }, id)],
    [dora, (id) => operate(pods[1], "DELETE", `rooms/lobby/members/${id}`)],
    [bob, async () => {
      assert.equal(await inRoom(ann.page, async () => {
        const { publisher, room, joinToken: token } = window.me.adapter;
        return (await publisher.handle.sendMessage({ kind: "kick", room_id: room, user_id: "Bob", token })).plugindata.data.success;
      }), true); // as adapter.kick does, but for its looking at the answer
      assert.ok(janus.kicks.some(({ user, token }) => user === "Bob" && decodeJwt(token).sub === "Ann"), "it came to Janus, with her newest token");
    }],
  ]);
  for (const [person, kick] of ways) {
    const comings = await inRoom(person.page, () => window.me.comesBack);
    await kick(await member(person.name));
    await eventually(`${person.name} is out`, async () => (await closes(person)).at(-1) === 1000);
    assert.equal(await inRoom(person.page, () => window.me.comesBack), comings, "the adapter says when it will");
    await eventually("Janus has nothing of them", () => !janus.publisher(person.name));
    await eventually("Janus was told", () => janus.kicks.some(({ user, done }) => done && user === person.name));
  }
});

test("no token came to Janus that had less than the margin to live", async () => {
  const shown = servers.flatMap((janus) => [...janus.joins, ...janus.kicks]).filter((m) => m.token);
  assert.ok(shown.length > 40, `only ${shown.length}`);
  // exp counts whole seconds, and a message takes its time to Janus.
  const left = shown.map(({ token, at }) => decodeJwt(token).exp - at / 1000);
  assert.ok(Math.min(...left) > margin - 0.5, `one had ${Math.min(...left)} s`);
  assert.deepEqual(joins().filter((j) => j.refused && j.refused !== "Can't subscribe to a nonexistent publisher."), []);
  // The adapter looks after no promise of its own when it comes back.
  assert.deepEqual(problems.filter((p) => !p.endsWith(": Janus session was disposed.")), []);
});
