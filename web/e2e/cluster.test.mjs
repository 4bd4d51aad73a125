// Three pods over one Redis, behind a balancer that deals sockets out in turn: to two tabs and
// two hundred more clients they are one. They are restarted one after the other, one is killed,
// and Redis is emptied, and nobody sees anything of it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Cluster } from "./cluster.mjs";
import { channelsOpen, eventually, inRoom, launch, openTab, problems, sleep } from "./harness.mjs";

const clients = 200, perRoom = 10;
const cluster = new Cluster();
const { pods } = cluster;
let browser;

before(async () => {
  await cluster.start(3, ["--token-ttl", "12s", "--token-refresh", "8s", "--drain", "3s", "--max-unauthenticated", "1000"]);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await cluster.stop();
});

/** Makes the two hundred, in rooms of ten, each of whom counts aloud and notes what it hears. */
const crowd = (page) => page.evaluate(async ([clients, perRoom]) => {
  const { connect } = await import("/client.js");
  const url = new URL("/ws", location.href);
  url.protocol = "ws:";
  const crowd = window.crowd = { all: [], wrong: [], on: true };
  for (let i = 0; i < clients; i++) {
    const gateway = connect(url, { credential: `user${i}` });
    const room = await gateway.join(`room${Math.floor(i / perRoom)}`);
    const c = { gateway, room, said: [], unsure: new Set(), heard: {}, next: 0 };
    gateway.addEventListener("state", ({ state, code, reason }) => {
      if (state === "closed" && crowd.on) crowd.wrong.push(`user${i} closed: ${code} ${reason}`);
    });
    room.addEventListener("signal", ({ from, data }) => (c.heard[from] ??= []).push(data));
    room.addEventListener("removed", ({ reason }) => crowd.wrong.push(`user${i} removed: ${reason}`));
    crowd.all.push(c);
  }
  // Chromium makes one page wait for seconds between sockets when many of its sockets have failed, so
  // those of the crowd who are just coming back may be late; the tabs, which have few, may not.
  crowd.tokens = setInterval(() => crowd.all.forEach(({ gateway, room: { token } }, i) => {
    const late = Math.round(performance.now() - token.receivedAt - token.expiresIn);
    if (late >= 0 && gateway.state === "connected") crowd.wrong.push(`user${i} holds a token that expired ${late} ms ago`);
  }), 100);
}, [clients, perRoom]);

/** Has them begin, when all are in. */
const begin = (page) => page.evaluate(() => {
  const { crowd } = window;
  crowd.all.forEach((c, i) => {
    for (const type of ["left", "joined", "gap"]) {
      c.room.addEventListener(type, ({ member }) => crowd.wrong.push(`user${i} saw ${type} ${member?.user ?? ""}`));
    }
    const count = () => {
      if (!crowd.on) return;
      const n = c.next++;
      c.room.signal(undefined, n).then(
        () => c.said.push(n),
        (why) => { if (why.code === "lost") c.unsure.add(n); else if (why.code !== "unavailable") crowd.wrong.push(`user${i}: ${why.code} ${why.message}`); });
      setTimeout(count, 1000);
    };
    setTimeout(count, (i % 100) * 10);
  });
});

/** Has them stop, and checks who heard what. */
async function end(page) {
  await page.evaluate(() => { window.crowd.on = false; });
  await sleep(3000);
  return page.evaluate(() => {
    const { crowd } = window;
    clearInterval(crowd.tokens);
    let heard = 0;
    const byMember = new Map(crowd.all.map((c) => [c.room.member, c]));
    for (const c of crowd.all) {
      if (c.room.members.length !== 10) crowd.wrong.push(`${c.room.name} has ${c.room.members.length} members`);
      for (const { id } of c.room.members) {
        const from = byMember.get(id);
        if (!from || from === c) continue;
        const got = c.heard[id] ?? [];
        heard += got.length;
        const sure = got.filter((n) => !from.unsure.has(n));
        if (sure.join() !== from.said.join() || got.some((n, i) => i && n <= got[i - 1])) {
          crowd.wrong.push(`${c.gateway.user} heard of ${from.gateway.user}: ${got.join()}; it said ${from.said.join()}, perhaps ${[...from.unsure].join()}`);
        }
      }
    }
    return { wrong: crowd.wrong, heard, said: crowd.all.reduce((sum, c) => sum + c.said.length, 0) };
  });
}

test("three pods are one to two tabs and two hundred clients, whatever happens to them", { timeout: 300_000 }, async () => {
  // A browser says so on the console when a pod is killed under its socket.
  const quiet = [/WebSocket connection to/];
  const ann = await openTab(browser, cluster.base, "Ann", { quiet });
  const bob = await openTab(browser, cluster.base, "Bob", { quiet });
  await channelsOpen(ann, bob);
  for (const page of [ann, bob]) {
    await inRoom(page, () => {
      window.seen = [];
      window.words = [];
      const { room, gateway } = window.roompass;
      for (const type of ["left", "joined", "gap"]) room.addEventListener(type, ({ member }) => window.seen.push(`${type} ${member?.user}`));
      room.addEventListener("signal", ({ data }) => { if (data?.n !== undefined) window.words.push(data.n); });
      gateway.addEventListener("state", ({ state }) => { if (state === "closed") window.seen.push(state); });
      setInterval(() => { if (performance.now() >= room.token.receivedAt + room.token.expiresIn) window.seen.push("an expired token"); }, 50);
    });
  }
  const page = await (await browser.newContext()).newPage();
  page.on("pageerror", (why) => problems.push(`the crowd: ${why.message}`));
  await page.goto(`${cluster.base}/?room=none`);
  await crowd(page);
  await eventually("all see all", () => page.evaluate(() => window.crowd.all.every(({ room }) => room.members.length === 10)));
  const shares = await Promise.all(pods.map((pod) => pod.metric("roompass_connections")));
  assert.ok(shares.every((n) => n > 50), `the pods have ${shares} sockets`);
  await begin(page);
  let n = 0;
  const unsure = new Set(); // said on a socket that was lost before the answer came: Ann was told so
  const speak = async () => {
    const numbers = [++n, ++n];
    const lost = await inRoom(ann, (numbers) => Promise.all(numbers.map((n) => window.roompass.room.signal(undefined, { n }).then(
      () => [], (why) => { if (why.code !== "lost") throw why; return [n]; }))), numbers);
    for (const n of lost.flat()) unsure.add(n);
  };
  await speak();
  await sleep(2000);

  // A rolling restart.
  for (const pod of pods) {
    assert.equal(await pod.metric("roompass_token_lapses_total"), 0);
    assert.equal(await pod.stop(), 0, pod.program.log);
    await speak();
    await pod.start();
    await sleep(500);
  }
  assert.deepEqual([...unsure], [], "a rolling restart loses nothing");
  // One is killed, and comes back.
  await sleep(2000);
  await pods[0].stop("SIGKILL");
  await speak();
  await sleep(1000);
  await pods[0].start(); // it waits for its own lease to run out
  await speak();
  // Redis forgets everything. Who is without a socket then is told of a gap, so all are back first.
  await eventually("all are back", () => page.evaluate(() => window.crowd.all.every(({ gateway }) => gateway.state === "connected")), 60_000);
  await cluster.cli("flushall");
  await sleep(3000);
  await speak();

  const { wrong, heard, said } = await end(page);
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.ok(heard > said * 8, `${heard} were heard of ${said}`);
  const moved = await Promise.all(pods.map((pod) => pod.metric("roompass_members_taken_over_total")));
  assert.ok(moved.reduce((sum, n) => sum + n) > clients / 4, `only ${moved} members moved`);
  for (const tab of [ann, bob]) assert.deepEqual(await inRoom(tab, () => window.seen), []);
  const words = await inRoom(bob, () => window.words);
  assert.deepEqual(words.filter((n) => !unsure.has(n)), Array.from({ length: n }, (_, i) => i + 1).filter((n) => !unsure.has(n)));
  assert.ok(words.every((n, i) => !i || n > words[i - 1]), `Bob heard ${words}`);
  await inRoom(bob, () => window.roompass.mesh.send("still here"));
  await ann.waitForFunction(() => window.roompass.mesh.received.some(({ text }) => text === "still here"));
  for (const pod of pods) assert.equal(await pod.metric("roompass_token_lapses_total"), 0, pod.name);
  assert.deepEqual(problems, []);
});
