// The mesh that docs/client.md has as a recipe, as it stands there, between three tabs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bin, eventually, freePort, isReady, launch, problems, start, stop, watch } from "./harness.mjs";

const typescript = createRequire(join(import.meta.dirname, "..", "package.json"))("typescript");
const key = "a-key-for-the-recipes";
let gateway, browser, base, admin, restart, tabs;

/** The block of docs/client.md that exports what is asked for, without its types. */
function recipe(name) {
  const page = readFileSync(join(import.meta.dirname, "../../docs/client.md"), "utf8");
  const found = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code).filter((code) => code.includes(`export function ${name}(`));
  assert.equal(found.length, 1, `blocks that export ${name}`);
  const { ES2022, ESNext } = { ...typescript.ScriptTarget, ...typescript.ModuleKind };
  return typescript.transpileModule(found[0], { compilerOptions: { target: ES2022, module: ESNext } }).outputText;
}

before(async () => {
  const [listen, operator] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  base = `http://${listen}`;
  admin = `http://${operator}`;
  restart = async (linger) => {
    await stop(gateway, "SIGKILL");
    gateway = start(bin, ["serve", "--dev", "--listen", listen, "--admin-listen", operator, "--admin-key", key, "--linger", linger]);
    await eventually("the gateway is ready", () => isReady(admin));
  };
  await restart("2m"); // nobody is lost, however slow the machine is
  browser = await launch("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream");
});

after(async () => {
  await browser?.close();
  await stop(gateway, "SIGKILL");
});

/** What a tab does: it runs the recipe, and notes what its connections do. */
async function script(name) {
  // A network on which what is sent can be held up, or fail altogether.
  window.network = { held: undefined, away: false };
  class Socket extends WebSocket {
    constructor(url, protocols) {
      if (window.network.away) {
        // No socket of the browser's: it has a page wait for seconds when many of those have failed.
        const none = { close() {} };
        setTimeout(() => none.onclose({ code: 1006, reason: "" }));
        return none;
      }
      super(url, protocols);
    }
    send(frame) {
      if (window.network.held) window.network.held.push({ to: JSON.parse(frame).to, send: () => super.send(frame) });
      else super.send(frame);
    }
  }
  const { connect } = await import("/client.js");
  const { mesh } = await import("/mesh.js");
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 160, height: 120, frameRate: 5 } });
  const url = new URL("/ws", location.href);
  url.protocol = "ws:";
  const gateway = connect(url, { credential: name, WebSocket: Socket });
  const room = await gateway.join("lobby");
  const peers = new Map(); // the newest with each user
  let made = 0;
  const end = mesh(room, ({ user }, connection, channel) => {
    const peer = { connection, channel, heard: [], tracks: [], number: ++made };
    peers.set(user, peer);
    for (const track of media.getTracks()) connection.addTrack(track, media);
    connection.addEventListener("track", ({ track }) => {
      peer.tracks.push(track);
      if (track.kind !== "video") return;
      // That packets come is not enough: the picture has to move.
      peer.video = Object.assign(document.createElement("video"), { muted: true, srcObject: new MediaStream([track]) });
      peer.video.play();
    });
    channel.onmessage = ({ data }) => peer.heard.push(data);
  });
  window.tab = { gateway, room, peers, end, media };
}

async function openTab(name) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(60_000);
  watch(page, name, [/WebSocket connection to/]); // the gateway is killed under it
  await page.route("**/mesh.js", (route) => route.fulfill({ contentType: "text/javascript", body: recipe("mesh") }));
  await page.goto(`${base}/client.js`);
  await page.evaluate(script, name);
  return page;
}

const each = (what, ...args) => Promise.all(Object.values(tabs).map((page) => page.evaluate(what, ...args)));

/** Waits until all have heard of all others, by the data channel, what they say just now; and packets of that many tracks of each. */
let words = 0;
async function hearEachOther(tracks = 2) {
  const word = `word ${++words}`;
  const people = Object.keys(tabs);
  let last;
  await eventually(`all hear ${word}, and get ${tracks} tracks`, async () => {
    last = await each(([people, word, tracks]) => {
      const { peers, gateway } = window.tab;
      return Promise.all(people.filter((user) => user !== gateway.user).map(async (user) => {
        const peer = peers.get(user);
        if (!peer) return { user, well: false };
        const { connection, channel } = peer;
        if (channel.readyState === "open" && peer.said !== word) channel.send(peer.said = word);
        const { connectionState, signalingState } = connection;
        const heard = peer.heard.includes(word);
        const frames = peer.video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
        if (peer.since?.word !== word) peer.since = { word, frames };
        const moves = frames > peer.since.frames;
        const came = [...(await connection.getStats()).values()].filter(({ type, packetsReceived }) => type === "inbound-rtp" && packetsReceived > 0).length;
        return { me: gateway.user, user, connectionState, signalingState, heard, came, moves, well: heard && moves && signalingState === "stable" && came === tracks && !peer.tracks.some(({ muted }) => muted) };
      }));
    }, [people, word, tracks]);
    return last.flat().every(({ well }) => well);
  }, 60_000).catch((why) => { throw new Error(`${why.message}\n${JSON.stringify(last)}`); });
  assert.deepEqual(problems, []);
}

/** The people, from the one who never gives way to the one who always does. */
async function byRank() {
  const ids = await Promise.all(Object.entries(tabs).map(async ([name, page]) => [await page.evaluate(() => window.tab.room.member), name]));
  return ids.sort().map(([, name]) => name);
}

/** Has a tab show one more track to everybody. */
const showMore = (page) => page.evaluate(() => {
  const { peers, media } = window.tab;
  const track = media.getAudioTracks()[0].clone();
  for (const { connection } of peers.values()) if (connection.signalingState !== "closed") connection.addTrack(track, media);
});

const numbers = () => each(() => Object.fromEntries([...window.tab.peers].map(([user, { number }]) => [user, number])));
const hold = (page) => page.evaluate(() => { window.network.held = []; });
const release = (page) => page.evaluate(() => {
  const { held } = window.network;
  window.network.held = undefined;
  for (const { send } of held) send();
});
/** Waits until a tab has something to say to both others, which is held. */
const hasToSay = (page) => page.waitForFunction(() => new Set(window.network.held.map(({ to }) => to)).size === 2);
const state = (page, wanted) => page.waitForFunction((wanted) => window.tab.gateway.state === wanted, wanted);

test("three tabs are a mesh", { timeout: 300_000 }, async () => {
  tabs = {};
  for (const name of ["ann", "ben", "cat"]) tabs[name] = await openTab(name);
  await hearEachOther();
});

test("all add something at the same moment", { timeout: 300_000 }, async () => {
  const before = await numbers();
  // What they say of it is held until all have something to say.
  const pages = Object.values(tabs);
  for (const page of pages) await hold(page);
  for (const page of pages) await showMore(page);
  for (const page of pages) await hasToSay(page);
  for (const page of pages) await release(page);
  await hearEachOther(3);
  assert.deepEqual(await numbers(), before, "the connections are those of before");
});

test("a socket that drops", { timeout: 300_000 }, async () => {
  const before = await numbers();
  const rank = await byRank();
  // Once with what was said in the last moment, and once while the others negotiate.
  for (const [i, name] of [rank[0], rank[2]].entries()) {
    const page = tabs[name];
    await hold(page);
    await showMore(page);
    await hasToSay(page);
    await page.evaluate(() => {
      window.network.held = undefined; // it is never sent
      window.network.away = true;
      window.tab.gateway.drop();
    });
    await state(page, "reconnecting");
    for (const other of rank) if (other !== name) await showMore(tabs[other]);
    await page.evaluate(() => { window.network.away = false; });
    await state(page, "connected");
    await hearEachOther(4 + i);
  }
  assert.deepEqual(await numbers(), before, "the connections are those of before");
});

test("a gap", { timeout: 300_000 }, async () => {
  const before = await numbers();
  const rank = await byRank();
  for (const [i, name] of [rank[0], rank[2]].entries()) {
    const page = tabs[name];
    await page.evaluate(() => {
      window.gaps = 0;
      window.tab.room.addEventListener("gap", () => window.gaps++);
      window.network.away = true;
      window.tab.gateway.drop();
    });
    await state(page, "reconnecting");
    for (const other of rank) if (other !== name) await showMore(tabs[other]);
    // More than a room's log keeps, and the others don't hear of it.
    const to = await page.evaluate(() => window.tab.room.member);
    await Promise.all(Array.from({ length: 40 }, async () => {
      const { status } = await fetch(`${admin}/v1/rooms/lobby/signal`, {
        method: "POST", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
        body: JSON.stringify({ to, data: { noise: "x".repeat(60_000) } }),
      });
      assert.equal(status, 204);
    }));
    await showMore(page);
    await page.evaluate(() => { window.network.away = false; });
    await state(page, "connected");
    await hearEachOther(6 + i);
    assert.equal(await page.evaluate(() => window.gaps), 1, name);
  }
  assert.deepEqual(await numbers(), before, "the connections are those of before");
});

test("the gateway forgets everything", { timeout: 300_000 }, async () => {
  const before = await each(() => window.tab.room.member);
  await restart("4s");
  await eventually("all are new members", async () => (await each(() => window.tab.room.member)).every((id) => !before.includes(id)));
  await hearEachOther();
});

test("two are away for so long that they are lost, and come back", { timeout: 300_000 }, async () => {
  const before = await numbers();
  const [first, middle, last] = await byRank();
  const lost = [tabs[first], tabs[last]];
  for (const page of lost) {
    await page.evaluate(() => {
      window.network.away = true;
      window.tab.gateway.drop();
    });
  }
  await eventually("they are seen to be gone", () => tabs[middle].evaluate(() => window.tab.room.members.length === 1 && window.tab.peers.values().every(({ connection }) => connection.signalingState === "closed")));
  for (const page of lost) await showMore(page); // it waits to be said, and is about a call that is over
  await each(() => { window.network.away = false; });
  for (const page of lost) await state(page, "connected");
  await hearEachOther();
  const now = await numbers();
  for (const [i, made] of now.entries()) for (const [user, number] of Object.entries(made)) assert.ok(number > before[i][user], "the connections are new");
});

test("somebody leaves", { timeout: 300_000 }, async () => {
  const [first, , last] = await byRank();
  await tabs[last].evaluate(() => window.tab.end());
  assert.deepEqual(await tabs[last].evaluate(() => [...window.tab.peers.values()].map(({ connection }) => connection.signalingState)), ["closed", "closed"]);
  await tabs[last].evaluate(() => window.tab.room.leave());
  await eventually("the others have closed", () => tabs[first].evaluate((name) => window.tab.peers.get(name).connection.signalingState === "closed", last));
  delete tabs[last];
  await hearEachOther();
});
