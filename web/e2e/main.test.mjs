// The main job on real input: the built binary, two Chromium tabs in a room, a
// token that lives ten seconds, and an independent verifier without tolerance.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { bin, channelsOpen, eventually, freePort, inRoom, isReady, launch, openTab, problems, start, stop } from "./harness.mjs";

let gateway, browser, base, admin;

before(async () => {
  const [listen, operator] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  base = `http://${listen}`;
  admin = `http://${operator}`;
  gateway = start(bin, ["serve", "--dev", "--listen", listen, "--admin-listen", operator, "--token-ttl", "10s", "--token-refresh", "8s"]);
  await eventually("the gateway is ready", () => isReady(admin));
  browser = await launch();
});

let on = true; // the checks of the tokens go on
after(async () => {
  on = false;
  await browser?.close();
  if (gateway) assert.equal(await stop(gateway), 0, gateway.log);
});

/** Notes every timer that the page arms. */
const watchTimers = (page) => page.addInitScript(() => {
  window.timers = [];
  for (const name of ["setTimeout", "setInterval"]) {
    const original = window[name];
    window[name] = (what, ms, ...rest) => { window.timers.push(ms ?? 0); return original(what, ms, ...rest); };
  }
});

const state = (page) => inRoom(page, () => {
  const { room, gateway } = window.roompass ?? {};
  return room && { member: room.member, token: room.token?.token, members: room.members.length, state: gateway.state };
});

test("two tabs talk for many lifetimes, and no newest token is ever expired", { timeout: 300_000 }, async () => {
  const keys = createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`));
  const ann = await openTab(browser, base, "Ann", { prepare: watchTimers });
  const bob = await openTab(browser, base, "Bob", { prepare: watchTimers });
  const tabs = { ann, bob };

  // From here on each tab's newest token is checked, whatever else happens.
  const seen = { ann: new Set(), bob: new Set() };
  const failures = [];
  let checks = 0;
  const reloading = new Set();
  const check = async (name) => {
    while (on) {
      const next = new Promise((resolve) => setTimeout(resolve, 250));
      if (!reloading.has(name)) {
        try {
          const { token } = await state(tabs[name]) ?? {};
          const currentDate = new Date();
          if (token && !reloading.has(name)) {
            await jwtVerify(token, keys, { currentDate, clockTolerance: 0, audience: "webrtc_auth", algorithms: ["RS512"] });
            seen[name].add(token);
            checks++;
          }
        } catch (why) {
          if (!reloading.has(name)) failures.push(`${name}: ${why.message}`);
        }
      }
      await next;
    }
  };
  const started = Date.now();
  const checking = [check("ann"), check("bob")];

  await eventually("they see each other", async () => (await state(ann)).members === 2 && (await state(bob)).members === 2);
  assert.deepEqual(await ann.locator("#members .who").allTextContents(), ["Ann (you)", "Bob"]);

  await ann.fill("#text", "hello from Ann");
  await ann.click("#say button");
  await bob.waitForFunction(() => document.querySelector("#messages")?.textContent.includes("hello from Ann"));

  await channelsOpen(ann, bob);
  await inRoom(bob, () => window.roompass.mesh.send("peer to peer"));
  await ann.waitForFunction(() => window.roompass.mesh.received.some(({ text }) => text === "peer to peer"));

  // Ann loses her socket: nobody sees it, she misses nothing, she is who she was.
  const before = await state(ann);
  await inRoom(bob, () => {
    window.left = [];
    window.roompass.room.addEventListener("left", ({ member }) => window.left.push(member.id));
  });
  await inRoom(ann, () => {
    window.signals = [];
    window.roompass.room.addEventListener("signal", ({ data }) => { if (data?.n !== undefined) window.signals.push(data.n); });
  });
  await inRoom(ann, () => window.roompass.gateway.drop());
  await inRoom(bob, () => { for (let n = 0; n < 10; n++) window.roompass.room.signal(undefined, { n }); });
  await eventually("she is back", async () => (await state(ann)).state === "connected" && (await inRoom(ann, () => window.signals.length)) >= 10);
  assert.deepEqual(await inRoom(ann, () => window.signals), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "each signal once, in order");
  assert.equal((await state(ann)).member, before.member);
  assert.deepEqual(await inRoom(bob, () => window.left), [], "nobody saw her leave");

  // Bob reloads his page: he is a new member, and they talk again.
  reloading.add("bob");
  await bob.reload();
  await bob.waitForFunction(() => window.roompass?.room.token);
  reloading.delete("bob");
  await eventually("Bob is there again", async () => (await state(ann)).members >= 2 && (await state(bob)).members >= 2);
  await channelsOpen(ann, bob);
  await eventually("the Bob from before is gone at once", async () => (await state(ann)).members === 2, 5_000);

  await bob.fill("#text", "hello Ann, I am back");
  await bob.click("#say button");
  await ann.waitForFunction(() => document.querySelector("#messages")?.textContent.includes("I am back"));
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, 40_000 - (Date.now() - started))));
  on = false;
  await Promise.all(checking);

  assert.deepEqual(failures, []);
  assert.ok(checks >= 100, `only ${checks} checks`);
  for (const [name, tokens] of Object.entries(seen)) assert.ok(tokens.size >= 4, `${name} had only ${tokens.size} tokens`);
  for (const page of [ann, bob]) {
    const timers = await inRoom(page, () => window.timers);
    assert.ok(timers.every((ms) => ms < 1000), `a timer of the page waits as long as a token may live: ${timers}`);
  }
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assert.match(metrics, /^roompass_token_lapses_total 0$/m);
  assert.match(metrics, /^roompass_token_sign_errors_total 0$/m);
  assert.deepEqual(problems, []);
});
