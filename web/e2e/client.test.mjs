// The built client, as the gateway serves it, in a page that has nothing else, with all that a browser does to a page:
// wrong clocks, tabs in the back, sleep, no network, the back-forward cache; over two pods which go and come.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { call, enter, observe, tick } from "./blank.mjs";
import { Chrome } from "./chrome.mjs";
import { Cluster } from "./cluster.mjs";
import { Freshness } from "./freshness.mjs";
import { eventually, launch, problems, sleep, watch } from "./harness.mjs";
import { Network } from "./network.mjs";

const ttl = 8000, refresh = 2500, margin = ttl - refresh; // ms
const lifetimes = 10; // of a token, for which a tab stays in the back
const tabs = 20;
const cluster = new Cluster();
const { pods } = cluster;
const networks = [];
let browser, chrome, freshness;
let inFront; // a tab that hides others
let inBack, crowd; // they are in their rooms all along

const ofSockets = /WebSocket connection to/; // what Chromium says of one that was cut, or refused
const ofIcon = /favicon\.ico/; // the gateway has none, and Chromium asks
const isNoise = (said) => ofSockets.test(said) || ofIcon.test(said);

before(async () => {
  await cluster.start(2, ["--token-ttl", `${ttl}ms`, "--token-refresh", `${refresh}ms`, "--drain", "6s", "--linger", "30s"]);
  freshness = new Freshness(cluster.base);
  browser = await launch("--renderer-process-limit=4"); // not one for each of the twenty
  // A tab in the back has its timers held to one a second at once, and after a second to one a minute.
  chrome = new Chrome("--intensive-wake-up-throttling-policy=force-enable", "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1");
  inFront = await chrome.open("in front");
  inBack = await tabInBack("in the back", "background");
  await inBack.evaluate(tick);
  inBack.watch = freshness.watch("in the back", inBack);
  await openCrowd();
});

after(async () => {
  await freshness?.stop();
  await browser?.close();
  await chrome?.close();
  for (const network of networks) network.stop();
  await cluster.stop();
});

async function openNetwork() {
  const network = new Network();
  networks.push(network);
  await network.start(cluster.address);
  return network;
}

/** Opens a page in a context of its own, or in a given one, and enters a room there. */
async function person(user, room, { base = cluster.base, ahead = 0, context } = {}) {
  context ??= await browser.newContext();
  const page = await context.newPage();
  watch(page, user, [ofSockets]);
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  await page.addInitScript(observe, { ahead });
  await page.goto(`${base}/client.js`);
  await page.evaluate(enter, { user, room });
  return page;
}

/** The same in the browser that hides what is in the back: there it is when this returns. */
async function tabInBack(user, room, base = cluster.base) {
  const tab = await chrome.open(user, { prepare: observe, isNoise });
  await tab.goto(`${base}/client.js`);
  await tab.evaluate(enter, { user, room });
  await inFront.bringToFront();
  await until("it is hidden", tab, () => document.visibilityState === "hidden");
  return tab;
}

async function openCrowd() {
  const context = await browser.newContext();
  crowd = await Promise.all(Array.from({ length: tabs }, () => person("everywhere", "crowd", { context })));
  await eventually("all see all", async () => (await ask(crowd, () => window.room.members.length)).every((n) => n === tabs));
  await ask(crowd, () => { window.seen.length = 0; });
  crowd.watches = crowd.map((page, i) => freshness.watch(`tab ${i}`, page, 1000));
}

const ask = (pages, look, argument) => Promise.all(pages.map((page) => page.evaluate(look, argument)));

/** Waits for the page's own condition. */
const until = (what, page, look, argument) => eventually(what, () => page.evaluate(look, argument));

/** What went over the page's sockets: of each the types of what the page sent, and the frames. */
const wire = (page) => page.evaluate(() => window.sockets.map(({ frames }) => ({
  frames, sent: frames.filter(({ by }) => by === "page").map(({ type }) => type),
})));

/** What the browser told a page that may wake it. That it is hidden, by another test's tab too, doesn't. */
const wasTold = async (page) => (await page.evaluate(() => window.lifecycle)).filter((type) => type !== "hidden");

/** What became of the page's sockets: which was opened or closed, and how many were open then. */
const story = async (page) => (await page.evaluate(() => window.story)).map(({ n, what, open }) => `${n} ${what}: ${open}`);

/** By one's welcome back: was there a new token in it, and how long was the one that the page had still good then? */
function resumption({ frames }) {
  const { resume } = frames.find(({ by, type }) => by === "page" && type === "auth");
  const welcome = frames.find(({ type }) => type === "welcome");
  assert.equal(welcome.resumed, true);
  const [room] = welcome.rooms;
  return { left: resume.tokens[room.room] - welcome.server_time, token: room.token };
}

/** Waits for a push, has the socket lost, and returns how it was resumed; again if so much time went by that the old token was of no use. */
async function resumedSoon(page) {
  for (;;) {
    const had = await page.evaluate(() => new Promise((resolve) => {
      window.room.addEventListener("token", () => resolve(window.sockets.length), { once: true });
    }));
    await page.evaluate(() => window.gateway.drop());
    await until("it is back", page, (had) => window.sockets.length > had && window.gateway.state === "connected" && window.sockets.at(-1).frames.some(({ type }) => type === "welcome"), had);
    const back = resumption((await wire(page)).at(-1));
    if (back.left > margin + 100) return back;
  }
}

/** Somebody on a network that can go bad, as open has it, and somebody who sees it. */
async function sleepers(room, open) {
  const path = await openNetwork();
  const awake = await person("awake", room);
  const sleeper = await open("asleep", room, path.base);
  await until("they see each other", awake, () => window.room.members.length === 2);
  await ask([sleeper, awake], () => { window.seen.length = window.lifecycle.length = 0; });
  return { sleeper, awake, path };
}

/** Says three things that the other one can't hear just now. */
const speak = (page) => page.evaluate(() => Promise.all([0, 1, 2].map((n) => window.room.signal(undefined, { n }))));

/**
 * Whoever was away is back, by one socket and by one message that it sent, to which the answer brought a fresh token. It
 * has missed nothing, and nobody saw it away.
 */
async function isBack({ sleeper, awake }) {
  await until("it is welcome", sleeper, () => window.sockets.length > 1 && window.sockets.at(-1).frames.some(({ type }) => type === "welcome"));
  await freshness.check(sleeper);
  // One that was never open has no frames: on a busy machine the balancer may take a pod for dead.
  const [, back, ...more] = (await wire(sleeper)).filter(({ frames }) => frames.length > 0);
  assert.equal(more.length, 0, `one socket was enough: ${await story(sleeper)}; ${await sleeper.evaluate(() => window.lifecycle)}`);
  assert.deepEqual(back.sent, ["auth"]);
  assert.deepEqual(back.frames.slice(0, 2).map(({ by, type }) => `${by}: ${type}`), ["page: auth", "gateway: welcome"]);
  assert.ok(resumption(back).token, "the token came in the welcome");
  await until("all was heard", sleeper, () => window.heard.length >= 3);
  assert.deepEqual(await sleeper.evaluate(() => window.heard), [0, 1, 2]);
  assert.deepEqual(await ask([sleeper, awake], () => window.seen), [[], []]);
}

describe("while the pods stay", { concurrency: 3, timeout: 300_000 }, () => {
  test("a clock that is hours off makes no difference", async () => {
    const hours = [0, 3, -3];
    const pages = await Promise.all(hours.map((n) => person(`${n} hours ahead`, `ahead${n}`, { ahead: n * 3_600_000 })));
    const off = await ask(pages, () => Math.round((Date.now() - window.trueNow()) / 3_600_000));
    assert.ok(off.every((n, i) => n === hours[i]), `they are ${off} hours ahead`); // 0 or -0
    const watches = pages.map((page, i) => freshness.watch(`${hours[i]} hours ahead`, page));
    const pushes = 11; // three lifetimes, and what there is in the fourth
    for (const page of pages) {
      const count = () => page.evaluate(() => window.sockets[0].frames.filter(({ type }) => type === "token").length);
      await eventually("so many were pushed", async () => await count() >= pushes, 60_000);
    }
    for (const page of pages) {
      const [socket, ...others] = await wire(page);
      assert.equal(others.length, 0);
      assert.deepEqual(socket.sent, ["auth", "join"]);
      const issued = socket.frames.filter(({ type }) => type === "token").map(({ issued_at }) => issued_at);
      const spans = issued.slice(1).map((at, i) => at - issued[i]);
      // Due after 0.9 of the refresh at the earliest; iat is whole seconds.
      assert.ok(spans.every((span) => span >= 0.9 * refresh - 1000), `pushed after ${spans}`);
      // Also a page that comes back says how long its token is good by the gateway's clock, not by its own.
      const { token } = await resumedSoon(page);
      assert.equal(token, undefined, "a new one was signed");
    }
    for (const watch of watches) assert.ok((await watch.stop()).looks > 20);
  });

  // Shut for longer than a token's life, with a socket that is dead, and clocks that leap when it is opened.
  const sleeps = {
    // No close comes, so one of what a browser tells its pages has to be enough.
    "it is looked at again": {
      wake: (tab) => tab.bringToFront(),
      told: ["visible"],
    },
    "the network is there again": {
      fall: (tab) => tab.setOffline(true),
      wake: (tab) => tab.setOffline(false),
      told: ["offline", "online"],
    },
    // Chromium closes the socket of a tab that it freezes, and says so when the tab thaws; nothing else is said.
    "it was frozen, and thaws": {
      fall: (tab) => tab.freeze(),
      wake: (tab) => tab.thaw(),
      told: ["freeze", "resume"],
      byTimer: true,
    },
  };
  for (const [what, { fall, wake, told, byTimer = false }] of Object.entries(sleeps)) {
    test(`after a sleep there is a fresh token in one round trip: ${what}`, async () => {
      const both = await sleepers(what, tabInBack);
      const { sleeper, awake, path } = both;
      await sleeper.evaluate((still) => { window.still = still; }, !byTimer);
      path.swallow();
      await fall?.(sleeper);
      await speak(awake);
      await sleep(ttl + 500);
      await assert.rejects(freshness.check(sleeper), /"exp" claim timestamp check failed/);
      assert.equal((await wire(sleeper)).length, 1);

      await sleeper.evaluate(() => { window.slept = 1_800_000; });
      await wake(sleeper);
      await isBack(both);
      assert.deepEqual(await wasTold(sleeper), told);
    });
  }

  // The socket is known to be lost, and no timer will try another.
  const wakes = {
    online: {
      open: (user, room, base) => person(user, room, { base }),
      fall: (page) => page.context().setOffline(true),
      wake: (page) => page.context().setOffline(false),
      told: ["offline", "online"],
    },
    visibilitychange: {
      open: tabInBack,
      wake: (tab) => tab.bringToFront(),
      told: ["visible"],
    },
  };
  for (const [what, { open, fall, wake, told }] of Object.entries(wakes)) {
    test(`without a network: ${what} ends the wait for the next socket`, async () => {
      const both = await sleepers(what, open);
      const { sleeper, awake, path } = both;
      await sleeper.evaluate(() => { window.still = true; });
      path.take("none");
      path.cut();
      await until("it has lost its socket", sleeper, () => window.gateway.state === "reconnecting");
      await fall?.(sleeper);
      await speak(awake);
      await sleep(ttl + 500);
      assert.equal((await wire(sleeper)).length, 1);
      path.take("all");
      await wake(sleeper);
      await isBack(both);
      assert.deepEqual(await story(sleeper), ["0 open: 1", "0 close: 0", "1 open: 1"]);
      assert.deepEqual(await sleeper.evaluate(() => window.states), ["connecting", "connected", "reconnecting", "connected"]);
      assert.deepEqual(await wasTold(sleeper), told);
    });
  }

  test("a page that comes out of the back-forward cache is who it was, and one that is left for good says so", async () => {
    const both = await sleepers("bfcache", tabInBack);
    const { sleeper, awake, path } = both;
    await sleeper.evaluate(() => { window.still = true; });
    await sleeper.goto(`${path.base}/janus.js`);
    await speak(awake);
    await sleep(ttl + 500);
    await sleeper.bringToFront();
    await sleeper.back();
    await isBack(both);
    assert.deepEqual((await wasTold(sleeper)).filter((type) => type.startsWith("page")), ["pagehide kept", "pageshow kept"]);

    // Playwright's pages are never kept.
    await awake.goto(`${cluster.base}/janus.js`);
    await until("it sees who has gone", sleeper, () => window.seen.length > 0);
    assert.deepEqual(await sleeper.evaluate(() => window.seen), ["left awake left"]);
  });

  test("twenty tabs of one person are twenty members, who hear each other", async () => {
    const members = await ask(crowd, () => window.room.member);
    assert.equal(new Set(members).size, tabs);
    assert.deepEqual(new Set(await ask(crowd, () => window.gateway.user)), new Set(["everywhere"]));
    assert.deepEqual(new Set(await ask(crowd, () => window.gateway.pod)), new Set(pods.map(({ name }) => name)));
    await ask(crowd, () => Promise.all([0, 1].map((n) => window.room.signal(undefined, { n }))));
    await eventually("all heard all", async () => (await ask(crowd, () => window.heard.length)).every((n) => n >= 2 * (tabs - 1)));
    for (const heard of await ask(crowd, () => window.heard)) assert.equal(heard.length, 2 * (tabs - 1));
  });
});

test("a call goes on while both pods are restarted, and the next socket is there before the last one closes", { timeout: 300_000 }, async () => {
  const peers = [await person("caller", "call"), await person("called", "call")];
  for (const page of peers) await until("they see each other", page, () => window.room.members.length === 2);
  const watches = peers.map((page, i) => freshness.watch(`peer ${i}`, page));
  await peers[1].evaluate(call, false);
  await peers[0].evaluate(call, true);
  const heardMore = async () => {
    for (const page of peers) await until("more is heard on the channel", page, (heard) => window.call.heard.length > heard, await page.evaluate(() => window.call.heard.length));
  };
  await heardMore();
  await ask(peers, () => { window.seen.length = 0; });
  const all = [...peers, inBack, ...crowd];

  let moved = 0;
  for (const pod of pods) {
    const places = await ask(all, () => ({ pod: window.gateway.pod, past: window.story.length }));
    assert.equal(await pod.stop(), 0, pod.program.log);
    for (const [i, page] of all.entries()) {
      const { pod: was, past } = places[i];
      if (was !== pod.name) continue;
      moved++;
      await until("it is on another pod", page, (was) => window.gateway.pod !== was && window.sockets.filter(({ readyState }) => readyState === 1).length === 1, was);
      const since = (await page.evaluate(() => window.story)).slice(past);
      assert.ok(since.every(({ open }) => open > 0), `no socket was open for a while: ${JSON.stringify(since)}`);
      resumption((await wire(page)).at(-1));
    }
    await heardMore();
    await pod.start();
  }
  assert.ok(moved >= all.length, `${moved} of ${all.length} moved`);
  for (const watch of watches) assert.ok((await watch.stop()).looks > 20);
  await ask(peers, () => { window.call.on = false; });
  for (const page of peers) {
    const { states, heard } = await page.evaluate(() => window.call);
    assert.deepEqual(states, ["connecting", "connected"]);
    assert.deepEqual(heard, heard.map((_, i) => i), "all was heard, in order");
  }
  for (const page of all) assert.deepEqual(await page.evaluate(() => window.seen), []);
  for (const page of [...peers, ...crowd]) assert.deepEqual(await page.evaluate(() => window.states), ["connecting", "connected"]);
});

test("a tab in the back, its timers held to one a minute, has a token that holds for ten lifetimes", { timeout: 300_000 }, async () => {
  await eventually("ten lifetimes have passed", () => Date.now() - inBack.watch.since > lifetimes * ttl, lifetimes * ttl + 20_000);
  const { looks, tokens } = await inBack.watch.stop();
  assert.ok(looks > 100, `${looks} looks`);
  assert.ok(tokens.size > lifetimes, `${tokens.size} tokens`);
  // The time until now counts too: in ten lifetimes the second of the ticks that are a minute apart needn't have come.
  const longest = (times) => Math.max(...times.slice(1).map((at, i) => at - times[i]));
  const { interval, chain } = await inBack.evaluate(() => ({ interval: window.ticks.interval, chain: [...window.ticks.chain, window.trueNow()] }));
  assert.ok(longest(chain) > 30_000 && longest(interval) > 900, `its timers ran after ${longest(chain)} and ${longest(interval)} ms at the latest`);
  assert.deepEqual(await inBack.evaluate(() => [window.lifecycle, window.seen]), [["pageshow new", "hidden"], []]);
});

test("in twenty tabs at once too, and nothing was amiss", async () => {
  for (const { looks, tokens } of await Promise.all(crowd.watches.map((watch) => watch.stop()))) {
    assert.ok(looks > 20 && tokens.size > lifetimes / 2, `${looks} looks, ${tokens.size} tokens`);
  }
  assert.deepEqual(freshness.failures, []);
  assert.deepEqual(problems, []);
});
