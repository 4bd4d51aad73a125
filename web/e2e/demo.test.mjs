// The demo as people use it, on two pods behind the balancer, as make demo starts them: three
// people in a room, who break whatever the page lets them break.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { audit, bin, eventually, freePort, inRoom, launch, out, problems, start, stop, watch, watchPolicy } from "./harness.mjs";

const demoBin = process.env.ROOMPASS_DEMO_BIN;
assert.ok(demoBin && existsSync(demoBin), "set ROOMPASS_DEMO_BIN to the built program: go build -o bin/demo ./deploy/demo");

// A browser says so on the console when a pod is killed under its socket, or the balancer has none for a moment.
const quiet = [/WebSocket connection to/, /Failed to load resource/];
let demo, browser, base;

before(async () => {
  const port = await freePort();
  base = `http://127.0.0.1:${port}`;
  // Tokens so short that one is over after a sleep that a test can wait for, and a linger that is shorter still.
  demo = start(demoBin, ["--roompass", bin, "--listen", `127.0.0.1:${port}`, "--admin-port", "0",
    "--token-ttl", "12s", "--token-refresh", "6s", "--", "--linger", "4s"]);
  await eventually("the demo is up", () => demo.log.includes("is up"), 60_000);
  browser = await launch("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream");
});

after(async () => {
  await browser?.close();
  if (demo) assert.equal(await stop(demo), 0, demo.log);
});

/** Opens the entrance, in a browser context of its own. */
async function open(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  await watchPolicy(page);
  watch(page, name, quiet);
  await page.goto(base);
  return page;
}

/** Has somebody enter the room by the keyboard alone. */
async function enter(name, options) {
  const page = await open(name, options);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "room-name", "the first thing that one gets to");
  await page.keyboard.press("Tab");
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.roompass?.room.token);
  await eventually("the room's name has the focus", () => page.evaluate(() => document.activeElement.id === "room-title"));
  return page;
}

const tile = (page, name) => page.locator("#members li", { has: page.locator(`.who:text-is("${name}")`) });
const ring = (page, name) => tile(page, name).locator(".ring").getAttribute("aria-label");
const says = (page, where, text) => eventually(`${where} says ${text}`, async () => text.test(await page.textContent(where)));

/** Waits until all have a data channel and a picture of all the others, which moves on. */
const allTogether = (...pages) => eventually("all see all", async () => (await Promise.all(pages.map((page) => inRoom(page, (n) => {
  const { room, mesh } = window.roompass ?? {};
  return room?.members.length === n && room.members.every(({ id }) => id === room.member || mesh.isOpen(id)) &&
    [...document.querySelectorAll("#members video")].every((video) => video.videoWidth > 0);
}, pages.length)))).every(Boolean), 40_000);

/** Says something over the data channels, which all the others hear. */
async function tell(from, text, ...others) {
  await inRoom(from, (text) => window.roompass.mesh.send(text), text);
  for (const page of others) await page.waitForFunction((text) => window.roompass.mesh.received.some((r) => r.text === text), text);
}

test("three people meet in a room, and nothing that they break makes a token lapse", { timeout: 300_000 }, async (t) => {
  let ann, bob, chidi;

  await t.test("they enter by the keyboard, see each other and each other's tokens", async () => {
    ann = await enter("Ann");
    bob = await enter("Bob");
    chidi = await enter("Chidi");
    await allTogether(ann, bob, chidi);
    assert.deepEqual(await ann.locator("#members .who").allTextContents(), ["Ann (you)", "Bob", "Chidi"]);
    assert.deepEqual(await bob.locator("#members .who").allTextContents(), ["Bob (you)", "Ann", "Chidi"]);
    for (const name of ["Bob", "Chidi"]) await eventually(`Ann sees ${name}'s ring`, async () => /good for \d+ seconds/.test(await ring(ann, name)));
    assert.match(await tile(ann, "Bob").locator(".pod").textContent(), /^on pod-[ab]$/);
    const pushes = Number(await ann.textContent("#pushes"));
    await eventually("the next token comes", async () => Number(await ann.textContent("#pushes")) > pushes);
    await tell(ann, "to all", bob, chidi);
  });

  await t.test("they talk", async () => {
    await ann.fill("#text", "hello from Ann");
    await ann.press("#text", "Enter");
    for (const page of [ann, bob, chidi]) await says(page, "#messages", /hello from Ann/);
  });

  await t.test("the camera and the microphone are theirs to turn on, and a refusal is told in words", async () => {
    await ann.click("#camera");
    await eventually("Bob sees Ann's camera", async () => /camera/.test(await tile(bob, "Ann").locator("video").getAttribute("aria-label")));
    await eventually("it is the camera's picture", () => tile(bob, "Ann").locator("video").evaluate((video) => video.videoWidth >= 320));
    const frames = () => tile(bob, "Ann").locator("video").evaluate((video) => video.getVideoPlaybackQuality().totalVideoFrames);
    const from = await frames();
    await eventually("it moves", async () => await frames() > from + 5);
    await ann.click("#microphone");
    await eventually("Bob is told of the microphone", () => tile(bob, "Ann").locator(".microphone").isVisible());
    await eventually("Bob hears something", () => tile(bob, "Ann").locator("audio").evaluate((audio) => !audio.paused && !audio.srcObject.getAudioTracks()[0].muted));
    await ann.click("#camera");
    await ann.click("#microphone");
    await eventually("Bob sees Ann's portrait again", async () => /portrait/.test(await tile(bob, "Ann").locator("video").getAttribute("aria-label")));

    await inRoom(bob, () => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError")); });
    await bob.click("#camera");
    await says(bob, "#hardware", /The camera stays off: this page may not use it/);
  });

  await t.test("a socket that drops costs nothing", async () => {
    await inRoom(bob, () => {
      window.left = [];
      window.roompass.room.addEventListener("left", ({ member }) => window.left.push(member.data.name));
    });
    await ann.click("#drop");
    await says(ann, "#outcome", /^Back( on pod-[ab])? \d+ ms after the socket dropped, as the same member/);
    await tell(bob, "after the drop", ann, chidi);
    assert.deepEqual(await inRoom(bob, () => window.left), []);
  });

  await t.test("who sleeps for longer than their token lasts has a fresh one at waking", async () => {
    const slept = await inRoom(ann, () => window.roompass.room.token.token);
    await ann.click("#sleep");
    await ann.waitForSelector("#sleep-dialog[open]");
    assert.equal(await ann.evaluate(() => document.activeElement.id), "wake", "the button has the focus");
    await ann.screenshot({ path: join(out, "demo-asleep.png") });
    assert.match(await ring(ann, "Ann (you)"), /isn't known/);
    await eventually("the others see Ann leave", async () => (await inRoom(bob, () => window.left)).join() === "Ann");
    await eventually("her token is over", () => inRoom(ann, () => { const { token } = window.roompass.room; return performance.now() > token.receivedAt + token.expiresIn; }));
    await ann.keyboard.press("Enter");
    await says(ann, "#outcome", /^Awake( on pod-[ab])?: a fresh token \d+ ms after waking\.$/);
    assert.notEqual(await inRoom(ann, () => window.roompass.room.token.token), slept);
    await allTogether(ann, bob, chidi);
    await eventually("Ann sees Bob's ring again", async () => /good for/.test(await ring(ann, "Bob")));
    await tell(ann, "awake", bob, chidi);
  });

  await t.test("a pod that is killed takes nobody with it, and comes back", async () => {
    const pod = await inRoom(ann, () => window.roompass.gateway.pod);
    const members = await inRoom(ann, () => window.roompass.room.members.map(({ id }) => id).join());
    await eventually("the pod may be killed", () => ann.locator("#kill").isEnabled());
    await ann.click("#kill");
    await says(ann, "#outcome", new RegExp(`^${pod} is dead. Back on pod-`));
    assert.notEqual(await inRoom(ann, () => window.roompass.gateway.pod), pod);
    for (const page of [bob, chidi]) await eventually("the others are back", () => inRoom(page, (pod) => { const { gateway } = window.roompass; return gateway.state === "connected" && gateway.pod !== pod; }, pod));
    await tell(ann, "after the kill", bob, chidi);
    await bob.fill("#text", "still here");
    await bob.press("#text", "Enter");
    for (const page of [ann, chidi]) await says(page, "#messages", /still here/);
    assert.equal(await inRoom(ann, () => window.roompass.room.members.map(({ id }) => id).join()), members, "the same members");
    assert.match(demo.log, /crashing, as a client asked/);
    await eventually("the pod is back", async () => {
      const { pods } = await (await fetch(`${base}/demo/pods`)).json();
      return pods.length === 2 && pods.every(({ state }) => state === "ready");
    }, 30_000);
    await eventually("the page says so", () => ann.locator("#kill").isEnabled());
  });

  await t.test("what one sees, in light, in dark and on a phone", async () => {
    await ann.screenshot({ path: join(out, "demo-light.png") });
    await audit(ann, "light");
    await ann.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
    await ann.screenshot({ path: join(out, "demo-dark.png") });
    await audit(ann, "dark");
    await ann.setViewportSize({ width: 390, height: 844 });
    assert.ok(await inRoom(ann, () => document.documentElement.scrollWidth <= 390), "the page is wider than a phone");
    await ann.screenshot({ path: join(out, "demo-phone.png"), fullPage: true });
    await audit(ann, "a phone");
    await ann.click("#sleep");
    await audit(ann, "asleep");
    await ann.keyboard.press("Escape");
    await says(ann, "#outcome", /^Awake/);
    await ann.setViewportSize({ width: 1280, height: 900 });
  });

  await t.test("who is kicked is told so, and may come again", async () => {
    const button = tile(ann, "Chidi").locator(".kick");
    await ann.locator("#room-title").focus();
    for (let i = 0; i < 5 && !await button.evaluate((b) => b === document.activeElement); i++) await ann.keyboard.press("Tab");
    assert.ok(await button.evaluate((b) => b === document.activeElement), "one gets to it by the keyboard");
    await ann.keyboard.press("Enter");
    await says(chidi, "#refusal", /^You were kicked out of lobby\.$/);
    await eventually("the entrance has the focus", () => chidi.evaluate(() => document.activeElement.id === "entrance-title"));
    await eventually("his tile is gone", async () => await tile(ann, "Chidi").count() === 0);
    assert.equal(await ann.evaluate(() => document.activeElement.id), "room-title", "the focus isn't lost with the button");
    await audit(chidi, "the entrance");
    await chidi.click("#enter-button");
    await chidi.waitForFunction(() => window.roompass?.room.token);
    await allTogether(ann, bob, chidi);

    const nobody = await open("nobody");
    await nobody.click("#enter-button");
    await nobody.waitForFunction(() => window.roompass?.room.members.length === 4);
    assert.equal(await nobody.locator(".kick:visible").count(), 0, "who may not kick has no button for it");
    await nobody.click("#leave");
    assert.equal(await nobody.textContent("#refusal"), "");
    await eventually("they left", () => inRoom(ann, () => window.roompass.room.members.length === 3));
  });

  for (const page of [ann, bob, chidi]) {
    assert.equal(await page.textContent("#lapses"), "0");
    assert.deepEqual(await page.evaluate(() => window.violations), [], "the page keeps to its policy");
  }
  assert.deepEqual(problems, []);
});
