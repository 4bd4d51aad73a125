// The built client, as the gateway serves it, in a page that has nothing else, with all that a browser does to a page:
// wrong clocks, tabs in the back, sleep, no network, the back-forward cache; over two pods which go and come.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { call, enter, observe, tick } from "./blank.mjs";
import { Chrome } from "./chrome.mjs";
import { Cluster } from "./cluster.mjs";
import { Freshness } from "./freshness.mjs";
import { eventually, launch, problems, sleep, start, stop } from "./harness.mjs";
import { Network } from "./network.mjs";

const ttl = 6000, refresh = 3000, margin = ttl - refresh; // ms
const tabs = 20;
const cluster = new Cluster();
const { pods } = cluster;
const networks = [];
let browser, chrome, freshness;
let inFront; // a tab that hides others
let inBack, inBackWatch, crowd; // they are in their rooms all along

const ofSockets = [/WebSocket connection to/]; // what Chromium says of one that was cut, or refused
const isNoise = (text, quiet) => [/favicon\.ico/, ...quiet].some((q) => q.test(text));

before(async () => {
  await cluster.start(2, ["--token-ttl", `${ttl}ms`, "--token-refresh", `${refresh}ms`, "--drain", "3s"]);
  freshness = new Freshness(cluster.base);
  browser = await launch();
  // A tab in the back has its timers held to one a second at once, and after ten seconds to one a minute.
  chrome = new Chrome("--intensive-wake-up-throttling-policy=force-enable", "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1");
  inFront = await chrome.open("in front");
  inBack = await tabInBack("in the back", "background", { quiet: ofSockets });
  await inBack.evaluate(tick);
  inBackWatch = freshness.watch("in the back", inBack);
  await openCrowd();
});

after(async () => {
  await freshness?.stop();
  await browser?.close();
  await chrome?.close();
  for (const network of networks) network.stop();
  await cluster.stop();
});

async function network() {
  const network = new Network();
  networks.push(network);
  await network.start(cluster.address);
  return network;
}

/** Opens a page in a context of its own, or in a given one, and enters a room there. */
async function person(user, room, { base = cluster.base, ahead = 0, quiet = [], context } = {}) {
  context ??= await browser.newContext();
  const page = await context.newPage();
  page.on("console", (m) => {
    const text = `${m.text()} ${m.location().url}`;
    if (["error", "warning"].includes(m.type()) && !isNoise(text, quiet)) problems.push(`${user}: ${text}`);
  });
  page.on("pageerror", (why) => problems.push(`${user}: ${why.message}`));
  await page.addInitScript(observe, { ahead });
  await page.goto(`${base}/client.js`);
  await page.evaluate(enter, { user, room });
  return page;
}

/** The same in the browser that hides what is in the back: there it is when this returns. */
async function tabInBack(user, room, { base = cluster.base, quiet = [] } = {}) {
  const tab = await chrome.open(user, { prepare: observe, isNoise: (text) => isNoise(text, quiet) });
  await tab.goto(`${base}/client.js`);
  await tab.evaluate(enter, { user, room });
  await inFront.bringToFront();
  await until("it is hidden", tab, () => document.visibilityState === "hidden");
  return tab;
}

async function openCrowd() {
  const context = await browser.newContext();
  crowd = await Promise.all(Array.from({ length: tabs }, () => person("everywhere", "crowd", { context, quiet: ofSockets })));
  await eventually("all see all", async () => (await ask(crowd, () => window.room.members.length)).every((n) => n === tabs));
  await ask(crowd, () => { window.seen.length = 0; });
  crowd.watches = crowd.map((page, i) => freshness.watch(`tab ${i}`, page));
}

const ask = (pages, look, argument) => Promise.all(pages.map((page) => page.evaluate(look, argument)));

/** Waits for the page's own condition. */
const until = (what, page, look, argument) => eventually(what, () => page.evaluate(look, argument));

const token = (page) => page.evaluate(() => window.room.token);

/** Somebody in a tab in the back, on a network that can go bad, and somebody who sees it. */
async function sleepers(room) {
  const path = await network();
  const awake = await person("awake", room);
  const sleeper = await tabInBack("asleep", room, { base: path.base, quiet: ofSockets });
  await until("they see each other", awake, () => window.room.members.length === 2);
  await awake.evaluate(() => { window.seen.length = 0; });
  return { sleeper, awake, path };
}

/** What went over the page's sockets: of each the types of what the page sent, and the frames. */
const wire = (page) => page.evaluate(() => window.sockets.map(({ frames, readyState }) => ({
  frames, readyState, sent: frames.filter(({ by }) => by === "page").map(({ type }) => type),
})));

/** By one's welcome back: was there a new token in it, and how long was the one that the page had still good then? */
function resumption({ frames }) {
  const { resume } = frames.find(({ by, type }) => by === "page" && type === "auth");
  const welcome = frames.find(({ type }) => type === "welcome");
  assert.equal(welcome.resumed, true);
  const [room] = welcome.rooms;
  return { left: resume.tokens[room.room] - welcome.server_time, token: room.token };
}

/** Waits for a push, has the socket lost, and returns how it was resumed; again if so much time went by that the old token was of no use. */
async function resumedSoon(page, lose) {
  for (;;) {
    const had = await page.evaluate(() => new Promise((resolve) => {
      window.room.addEventListener("token", () => resolve(window.sockets.length), { once: true });
    }));
    await lose();
    await until("it is back", page, (had) => window.sockets.length > had && window.gateway.state === "connected" && window.sockets.at(-1).frames.some(({ type }) => type === "welcome"), had);
    const back = resumption((await wire(page)).at(-1));
    if (back.left > margin + 100) return back;
  }
}

describe("while the pods stay", { concurrency: true, timeout: 90_000 }, () => {
  test("a clock that is hours off makes no difference", async () => {
    const hours = [0, 3, -3];
    const pages = await Promise.all(hours.map((n) => person(`${n} hours ahead`, `ahead${n}`, { ahead: n * 3_600_000, quiet: ofSockets })));
    const off = await ask(pages, () => Math.round((Date.now() - window.trueNow()) / 3_600_000));
    assert.deepEqual(off, hours);
    const watches = pages.map((page, i) => freshness.watch(`${hours[i]} hours ahead`, page));
    const pushes = 6;
    for (const page of pages) await until("so many were pushed", page, (pushes) => window.sockets[0].frames.filter(({ type }) => type === "token").length >= pushes, pushes);
    for (const page of pages) {
      const [socket, ...others] = await wire(page);
      assert.deepEqual(others, []);
      assert.deepEqual(socket.sent, ["auth", "join"]);
      const issued = socket.frames.filter(({ type }) => type === "token").map(({ issued_at }) => issued_at);
      const spans = issued.slice(1).map((at, i) => at - issued[i]);
      // Due after 0.9 of the refresh at the earliest; iat is whole seconds.
      assert.ok(spans.every((span) => span >= 0.9 * refresh - 1000), `pushed after ${spans}`);
      // Also a page that comes back says how long its token is good by the gateway's clock, not by its own.
      const { token } = await resumedSoon(page, () => page.evaluate(() => window.gateway.drop()));
      assert.equal(token, undefined, "a new one was signed");
    }
    for (const watch of watches) assert.ok((await watch.stop()).looks > 50);
  });

  // Shut for longer than a token's life, with a socket that is dead but doesn't know it, and clocks that leap when it
  // is opened. No close comes, so one of what a browser tells its pages then has to be enough.
  const waking = {
    "it is visible again": [() => {}, (page) => page.bringToFront()],
    "the network is there again": [(page) => page.setOffline(true), (page) => page.setOffline(false)],
  };
  for (const [what, [fall, wake]] of Object.entries(waking)) {
    test(`after a sleep there is a fresh token in one round trip: ${what}`, async () => {
      const { sleeper, awake, path } = await sleepers(what);
      await fall(sleeper);
      await sleeper.freeze();
      path.swallow();
      const old = await token(sleeper);
      await awake.evaluate(() => { for (let n = 0; n < 3; n++) window.room.signal(undefined, { n }); });
      await sleep(ttl + 500);
      await assert.rejects(freshness.check(sleeper), /"exp" claim timestamp check failed/);
      assert.equal((await wire(sleeper)).length, 1);

      await sleeper.evaluate(() => { window.slept = 1_800_000; });
      await sleeper.thaw();
      await wake(sleeper);
      await until("it has another token", sleeper, (old) => window.room.token.token !== old, old.token);
      await freshness.check(sleeper);
console.log(what, await sleeper.evaluate(()=>[window.story,window.states,window.lifecycle,navigator.onLine].map(x=>JSON.stringify(x)).join()));
      const [, back, ...more] = await wire(sleeper);
      assert.deepEqual(more, [], "one socket was enough");
      assert.deepEqual(back.sent, ["auth"]);
      assert.equal(back.frames[1].type, "welcome");
      assert.equal(back.frames[1].rooms[0].token.token, (await token(sleeper)).token);
      await until("all was heard", sleeper, () => window.heard.length >= 3);
      assert.deepEqual(await sleeper.evaluate(() => window.heard), [0, 1, 2]);
      assert.deepEqual(await ask([sleeper, awake], () => window.seen), [[], []]);
      assert.deepEqual((await sleeper.evaluate(() => window.lifecycle)).filter((type) => ["freeze", "resume"].includes(type)), ["freeze", "resume"]);
    });
  }
});

test("nothing was amiss", async () => {
  assert.deepEqual(freshness.failures, []);
  assert.deepEqual(problems, []);
});
