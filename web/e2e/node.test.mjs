// The built client in Node, with a WebSocket class that is given to it: that of ws, as Node 20 has none.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createRemoteJWKSet, jwtVerify } from "jose";
import WS from "ws";
import { connect } from "../dist/client/client.js";
import { Cluster } from "./cluster.mjs";
import { eventually } from "./harness.mjs";

const cluster = new Cluster();
const gateways = [];

before(() => cluster.start(2, ["--token-ttl", "8s", "--token-refresh", "2500ms", "--drain", "6s"]));

after(async () => {
  for (const gateway of gateways) gateway.close();
  await cluster.stop();
});

/** Enters a room, and notes what is seen and heard there, and whether each socket resumed the session. */
async function enter(user) {
  const resumed = [];
  class Socket extends WS {
    constructor(...given) {
      super(...given);
      this.on("message", (text) => {
        const message = JSON.parse(text);
        if (message.type === "welcome") resumed.push(message.resumed);
      });
    }
  }
  const gateway = connect(`ws://${cluster.address}/ws`, { credential: user, WebSocket: Socket });
  gateways.push(gateway);
  const person = { gateway, resumed, states: [gateway.state], seen: [], heard: [] };
  gateway.addEventListener("state", ({ state }) => person.states.push(state));
  const room = person.room = await gateway.join("lobby", { data: { name: user } });
  for (const type of ["joined", "left", "gap", "removed"]) room.addEventListener(type, ({ member }) => person.seen.push(`${type} ${member?.user ?? ""}`));
  room.addEventListener("signal", ({ from, data }) => person.heard.push([from, data]));
  return person;
}

test("in Node the client joins, signals, has fresh tokens, and comes back when its pod is restarted or killed", { timeout: 300_000 }, async () => {
  const keys = createRemoteJWKSet(new URL(`${cluster.base}/.well-known/jwks.json`));
  const ann = await enter("ann");
  const ben = await enter("ben");
  await eventually("Ann sees Ben", () => ann.seen.length > 0);
  assert.deepEqual(ann.seen, ["joined ben"]);
  assert.deepEqual(ben.room.members.map(({ user, data }) => [user, data.name]), [["ann", "ann"], ["ben", "ben"]]);
  const member = ann.room.member;

  let said = 0;
  const hears = async () => {
    await ann.room.signal(ben.room.member, ++said);
    await eventually("Ben hears her", () => ben.heard.length >= said);
  };
  const pushed = async () => {
    const { token } = ann.room.token;
    await eventually("a token is pushed", () => ann.room.token.token !== token);
    const { payload } = await jwtVerify(ann.room.token.token, keys, { clockTolerance: 0, audience: "webrtc_auth", algorithms: ["RS512"] });
    assert.deepEqual(payload.room_ids, ["lobby"]);
  };
  const podOf = ({ gateway }) => cluster.pods.find(({ name }) => name === gateway.pod);
  await hears();
  await pushed();
  await pushed();

  // Restarted, it is left before it goes.
  const [first, sockets] = [podOf(ann), ann.resumed.length];
  assert.equal(await first.stop(), 0, first.program.log);
  await eventually("Ann is on the other pod", () => podOf(ann) !== first);
  assert.equal(ann.resumed.length, sockets + 1);
  assert.deepEqual(ann.states, ["connecting", "connected"]);
  await first.start();
  await hears();
  await pushed();

  // Killed, it can't say so.
  const second = podOf(ann);
  await second.stop("SIGKILL");
  await eventually("Ann is back", () => podOf(ann) !== second && ann.gateway.state === "connected");
  assert.deepEqual(ann.states, ["connecting", "connected", "reconnecting", "connected"]);
  await second.start();
  await hears();
  await pushed();

  assert.equal(ann.room.member, member);
  assert.deepEqual(ann.resumed, [false, true, true]);
  assert.deepEqual([ann.seen, ben.seen], [["joined ben"], []]);
  assert.deepEqual(ben.heard, Array.from({ length: said }, (_, i) => [member, i + 1]));
  ben.gateway.close();
  await eventually("Ann sees Ben leave", () => ann.seen.includes("left ben"));
});
