// The operator's console, as an operator at three in the morning uses it: two pods over Redis, and people
// in a room who are on different pods. What a click does is looked at from the people's side.
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";
import { after, before, test } from "node:test";
import { audit, bin, eventually, freePort, isReady, launch, out, problems, start, stop, watch, watchPolicy } from "./harness.mjs";

const key = "a-key-for-the-console", readKey = "a-key-that-only-looks";
const dir = mkdtempSync(join(tmpdir(), "roompass-"));
const consoles = [], balancers = [];
let redis, redisPort, browser, east, west, ann, ben, cat, page;

async function startPod(pod) {
  pod.program = start(bin, ["serve", "--dev", "--key", join(dir, "key.pem"), "--redis", `redis://127.0.0.1:${redisPort}`, "--lease", "2s",
    "--pod-id", pod.name, "--listen", pod.listen, "--admin-listen", pod.operator, "--admin-key", key, "--admin-key", `read:${readKey}`]);
  await eventually(`${pod.name} is ready`, () => isReady(pod.admin));
}

/** A balancer that leads to the first of the pods that is ready. */
async function balance(...pods) {
  const server = createServer(async (client) => {
    client.on("error", () => {});
    for (const pod of pods) {
      if (!await isReady(pod.admin)) continue;
      const [host, port] = pod.listen.split(":");
      return pipeline(client, connect(port, host), client, () => {});
    }
    client.destroy();
  });
  balancers.push(server);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

/** Somebody who is in the lobby, on the first of the pods that is ready. */
async function person(name, ...pods) {
  const page = await (await browser.newContext()).newPage();
  watch(page, name, [/WebSocket connection to/, /status of 404/]); // a pod is killed under it, and there is no icon
  await page.goto(`${await balance(...pods)}/client.js`);
  await page.evaluate(async (name) => {
    const { connect } = await import("/client.js");
    const url = new URL("/ws", location.href);
    url.protocol = "ws:";
    window.seen = [];
    window.enter = async () => {
      window.gateway?.close();
      const gateway = window.gateway = connect(url, { credential: name });
      gateway.addEventListener("state", ({ state, code }) => { if (code === 4403) window.seen.push(`${state} ${code}`); });
      const room = window.room = await gateway.join("lobby", { data: { name: `<b>${name}</b>` } });
      for (const type of ["joined", "left", "gap", "removed"]) {
        room.addEventListener(type, ({ member, reason }) => window.seen.push([type, member?.user, reason].filter(Boolean).join(" ")));
      }
    };
    window.rights = () => JSON.parse(atob(window.room.token.token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    await window.enter();
  }, name);
  return page;
}

const enter = (page) => page.evaluate(() => window.enter().then(() => "in", ({ code }) => code));
const sees = (page, what) => page.waitForFunction((what) => window.seen.includes(what), what);
const isOn = (page, pod) => page.waitForFunction((pod) => window.gateway.state === "connected" && window.gateway.pod === pod, pod.name);
/** Forgets what was seen so far. */
const fresh = async () => { for (const page of [ann, ben, cat]) await page.evaluate(() => { window.seen.length = 0; }); };
const nothingSeen = async () => { for (const page of [ann, ben, cat]) assert.deepEqual(await page.evaluate(() => window.seen), []); };

/** A console that nobody has signed in at; the page comes with 401. quiet is what else the browser may complain of. */
async function openConsole(pod, { hash = "", quiet = [], prepare } = {}) {
  const page = await (await browser.newContext({ viewport: { width: 1200, height: 900 } })).newPage();
  watch(page, `the console of ${pod.name}`, [/status of 401/, ...quiet]);
  await watchPolicy(page);
  await prepare?.(page);
  await page.goto(`${pod.admin}/console${hash}`);
  consoles.push(page);
  return page;
}

/** Closes all consoles, none of which broke its policy or complained. */
async function closeConsoles() {
  for (const page of consoles.splice(0)) {
    assert.deepEqual(await page.evaluate(() => window.violations), []);
    await page.close();
  }
  assert.deepEqual(problems, []);
}

async function signIn(page, with_ = key) {
  await page.getByLabel("Key of the operator's API").fill(with_);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation", { name: "Console" }).waitFor();
}

const go = (page, name) => page.getByRole("navigation", { name: "Console" }).getByRole("link", { name }).click();
const row = (page, name) => page.getByRole("row").filter({ has: page.getByText(name, { exact: true }) });
const cell = (page, name, title) => row(page, name).locator(`[data-title="${title}"]`);
const shows = (page, name, title, text) => eventually(`${title} of ${name} is ${text}`, async () => {
  const is = cell(page, name, title);
  return await is.count() === 1 && (await is.textContent()) === text;
});
const dialogOf = (page) => page.getByRole("dialog");
/** Clicks an action of a row, and does it in the dialog. */
async function act(page, name, action, does = action) {
  await row(page, name).getByRole("button", { name: action }).click();
  await dialogOf(page).getByRole("button", { name: does, exact: true }).click();
}
const shoot = (page, name) => page.screenshot({ path: join(out, `console-${name}.png`), fullPage: true });
const fits = async (page) => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "it fits on a phone");

before(async () => {
  redisPort = await freePort();
  redis = start("redis-server", ["--port", redisPort, "--bind", "127.0.0.1", "--save", "", "--dir", dir]);
  await eventually("Redis listens", () => redis.log.includes("Ready to accept connections"));
  assert.equal(await stop(start(bin, ["keygen", "--out", dir]), 0) ?? 0, 0);
  for (const name of ["east", "west"]) {
    const operator = `127.0.0.1:${await freePort()}`;
    const pod = { name, listen: `127.0.0.1:${await freePort()}`, operator, admin: `http://${operator}` };
    if (name === "east") east = pod; else west = pod;
    await startPod(pod);
  }
  browser = await launch();
  ann = await person("ann", east, west);
  ben = await person("ben", west, east);
  cat = await person("cat", west, east);
  await fresh();
});

after(async () => {
  await browser?.close();
  for (const server of balancers) server.close();
  for (const program of [east?.program, west?.program, redis]) await stop(program, "SIGKILL");
});

test("an operator signs in, and sees the pods", { timeout: 300_000 }, async () => {
  page = await openConsole(east, { quiet: [/status of 409/] });
  await page.getByLabel("Key of the operator's API").fill("not the key at all");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "No key looks like this" }).waitFor();
  await page.getByLabel("Key of the operator's API").fill("not-the-key-at-all");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "none of the gateway's keys" }).waitFor();
  await signIn(page);
  await page.getByText("The promise is kept").waitFor();
  const { pods } = await (await fetch(`${west.admin}/v1/pods`, { headers: { Authorization: `Bearer ${readKey}` } })).json();
  for (const [pod, connections] of [["east", "1"], ["west", "2"]]) {
    await shows(page, pod, "State", "ready");
    await shows(page, pod, "Connections", connections);
    await shows(page, pod, "Members", connections);
    await shows(page, pod, "Version", pods.find((is) => is.pod === pod).version);
  }
  await shoot(page, "light");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await audit(page, colorScheme);
  }
  await shoot(page, "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 800 });
  await fits(page);
  await shoot(page, "phone");
  await page.setViewportSize({ width: 1200, height: 900 });
});

test("a link to a room is kept over the sign-in, and shows members of both pods", { timeout: 300_000 }, async () => {
  const page = await openConsole(west, { hash: "#/rooms/lobby" });
  await signIn(page);
  await page.getByRole("heading", { name: "lobby" }).waitFor();
  await page.getByText("3 members").waitFor();
  await isOn(ann, east);
  await isOn(ben, west);
  for (const name of ["ann", "ben", "cat"]) await cell(page, name, "Name").getByText(`<b>${name}</b>`, { exact: true }).waitFor();
  await audit(page, "a room");
  await shoot(page, "room");
  await page.setViewportSize({ width: 390, height: 800 });
  await fits(page);
  await shoot(page, "room-phone");
});

test("a kick", { timeout: 300_000 }, async () => {
  await fresh();
  await go(page, "Rooms");
  await page.getByRole("link", { name: "lobby" }).click();
  await row(page, "ben").getByRole("button", { name: "Kick" }).click();
  await audit(page, "the dialog of a kick");
  await shoot(page, "kick");
  await dialogOf(page).getByRole("button", { name: "Kick", exact: true }).click();
  await sees(ben, "removed kicked");
  await sees(ann, "left ben kicked");
  await page.getByText("was kicked from").waitFor();
  await row(page, "ben").waitFor({ state: "detached" });
  assert.equal(await enter(ben), "in");
  await row(page, "ben").waitFor();
});

test("a revocation, and its lifting", { timeout: 300_000 }, async () => {
  await fresh();
  await act(page, "ben", "Revoke");
  await sees(ben, "removed revoked");
  await sees(ann, "left ben revoked");
  assert.notEqual(await enter(ben), "in");
  await dialogOf(page).getByRole("heading", { name: "ben is revoked" }).waitFor();
  await dialogOf(page).getByText("A token that they were given may open the media server").waitFor();
  await shoot(page, "revoked");
  await dialogOf(page).getByRole("button", { name: "Close" }).click();
  await row(page, "ben").waitFor({ state: "detached" });

  // Another one, in every room, where there is no row to click on.
  await go(page, "Revocations");
  await page.getByRole("button", { name: "Revoke a user…" }).click();
  await dialogOf(page).getByLabel("User").fill("cat");
  await dialogOf(page).getByLabel("For how long").selectOption("another time…");
  await dialogOf(page).getByLabel("How long, in hours").fill("1h30m");
  await audit(page, "the dialog of a revocation");
  await dialogOf(page).getByRole("button", { name: "Revoke", exact: true }).click();
  await sees(cat, "closed 4403");
  await dialogOf(page).getByRole("button", { name: "Close" }).click();
  await shows(page, "ben", "Room", "lobby");
  await shows(page, "cat", "Room", "every room");
  await audit(page, "the revocations");
  await shoot(page, "revocations");
  for (const [name, visitor] of [["ben", ben], ["cat", cat]]) {
    assert.notEqual(await enter(visitor), "in");
    await act(page, name, "Lift");
    await row(page, name).waitFor({ state: "detached" });
    // The word goes round among the pods.
    await eventually(`${name} is in`, async () => await enter(visitor) === "in");
  }
  await page.getByText("Nobody is kept out.").waitFor();
});

test("rights are taken, and given back", { timeout: 300_000 }, async () => {
  const mayKick = (may) => ben.waitForFunction((may) => window.rights().kick_users === may, may);
  const kickAnn = () => ben.evaluate(() => window.room.kick(window.room.members.find(({ user }) => user === "ann").id).then(() => "ok", ({ code }) => code));
  const listed = (what) => eventually(`${what} is listed`, async () => what.test(await cell(page, "ben", "Changed rights").textContent()));
  const change = async (to) => {
    await dialogOf(page).getByRole("group", { name: "Kick others" }).getByText(to, { exact: true }).click();
    await dialogOf(page).getByRole("button", { name: "Change" }).click();
  };
  await go(page, "Rooms");
  await page.getByRole("link", { name: "lobby" }).click();
  await mayKick(true);
  await row(page, "ben").getByRole("button", { name: "Rights" }).click();
  await audit(page, "the dialog of rights");
  await dialogOf(page).getByRole("button", { name: "Change" }).click();
  await dialogOf(page).getByRole("alert").filter({ hasText: "Choose yes or no" }).waitFor();
  await shoot(page, "rights");
  await change("no");
  await mayKick(false);
  assert.equal(await kickAnn(), "not_allowed");
  await listed(/^may not kick, until /);
  await shoot(page, "changed");
  await row(page, "ben").getByRole("button", { name: "Rights" }).click();
  await change("yes");
  await mayKick(true);
  await listed(/^may kick, until /); // it goes on to be the operator's word
  await fresh();
  assert.equal(await kickAnn(), "ok");
  await sees(ann, "removed kicked");
  assert.equal(await enter(ann), "in");
  for (const visitor of [ben, cat]) await sees(visitor, "joined ann");
});

test("a pod is drained, the last one isn't, and it is taken back", { timeout: 300_000 }, async () => {
  await fresh();
  await go(page, "Overview");
  await row(page, "west").getByRole("button", { name: "Drain" }).click();
  await audit(page, "the dialog of a drain");
  await shoot(page, "drain");
  await dialogOf(page).getByRole("button", { name: "Drain", exact: true }).click();
  await shows(page, "west", "State", "draining");
  for (const visitor of [ann, ben, cat]) await isOn(visitor, east);
  await shows(page, "west", "Connections", "0");
  await shows(page, "east", "Connections", "3");
  // East is the last one that takes clients.
  await act(page, "east", "Drain");
  await dialogOf(page).getByRole("alert").filter({ hasText: "No other pod takes clients" }).waitFor();
  await shoot(page, "last-pod");
  await dialogOf(page).getByRole("button", { name: "Cancel" }).click();
  await shows(page, "east", "State", "ready");
  await shoot(page, "drained");
  await act(page, "west", "Undo drain");
  await shows(page, "west", "State", "ready");
  // And now the one that this page is from, which goes on to answer.
  await eventually("west is ready", () => isReady(west.admin));
  await act(page, "east", "Drain");
  await shows(page, "east", "State", "draining");
  for (const visitor of [ann, ben, cat]) await isOn(visitor, west);
  await shows(page, "west", "Connections", "3");
  await act(page, "east", "Undo drain");
  await shows(page, "east", "State", "ready");
  await nothingSeen(); // nobody in the room noticed
});

test("a tab that nobody looks at asks nothing", { timeout: 300_000 }, async () => {
  const page = await openConsole(east, { prepare: (page) => page.clock.install() });
  let asked = 0;
  page.on("request", (request) => { if (request.url().includes("/v1/")) asked++; });
  await signIn(page);
  await page.getByText("live", { exact: true }).waitFor();
  const turn = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  // By the page's own clock, so that minutes pass at once.
  let before = asked;
  await page.clock.runFor(5000);
  await eventually("it asks while it is seen", () => asked > before);
  await turn(true);
  await page.getByText("paused", { exact: true }).waitFor();
  before = asked;
  await page.clock.runFor(10 * 60_000);
  assert.equal(asked, before, "it asked while it was hidden");
  await turn(false);
  await eventually("it asks at once", () => asked > before);
  await page.getByText("live", { exact: true }).waitFor();
});

test("the API is out of reach, and back", { timeout: 300_000 }, async () => {
  await fresh();
  await closeConsoles(); // these aren't to complain
  const page = await openConsole(east, { quiet: [/ERR_CONNECTION_REFUSED/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/] });
  const other = await openConsole(west);
  for (const console of [page, other]) {
    await signIn(console);
    await shows(console, "west", "State", "ready");
  }
  await stop(east.program, "SIGKILL");
  await page.getByText("Out of reach since").waitFor();
  await page.getByText("out of reach", { exact: true }).waitFor();
  await page.getByText("Not known since").waitFor();
  await audit(page, "out of reach");
  await shoot(page, "out-of-reach");
  // The other pod's console says it of the pod, until the pod's members are where they belong.
  await eventually("east is lost or gone", async () => {
    const state = cell(other, "east", "State");
    return await state.count() === 0 || await state.textContent() === "lost";
  });
  for (const visitor of [ann, ben, cat]) await isOn(visitor, west);
  await nothingSeen();
  await startPod(east);
  await page.getByRole("button", { name: "Try now" }).click();
  await page.getByText("live", { exact: true }).waitFor();
  await page.getByText("Out of reach since").waitFor({ state: "detached" });
  for (const pod of ["east", "west"]) for (const console of [page, other]) await shows(console, pod, "State", "ready");
});

test("a key that only reads", { timeout: 300_000 }, async () => {
  await fresh();
  const page = await openConsole(west, { hash: "#/rooms/lobby", quiet: [/status of 403/] });
  await signIn(page, readKey);
  await act(page, "ben", "Kick");
  await dialogOf(page).getByRole("alert").filter({ hasText: "This key may only read" }).waitFor();
  await dialogOf(page).getByRole("button", { name: "Cancel" }).click();
  await page.getByText("read-only key").waitFor();
  for (const button of await page.locator("main button[data-acts]").all()) assert.equal(await button.getAttribute("aria-disabled"), "true");
  await audit(page, "read-only");
  await shoot(page, "read-only");
  await go(page, "Overview");
  const drain = row(page, "east").getByRole("button", { name: "Drain" });
  await drain.waitFor();
  assert.equal(await drain.getAttribute("aria-disabled"), "true");
  await drain.click({ force: true }); // it is there to be asked why not
  assert.equal(await dialogOf(page).count(), 0);
  await page.getByRole("status").filter({ hasText: "This key may only read" }).waitFor();
  await nothingSeen();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Key of the operator's API").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await closeConsoles();
});
