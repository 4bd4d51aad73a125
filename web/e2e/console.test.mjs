// The operator's console, as an operator at three in the morning uses it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { audit, bin, eventually, freePort, isReady, launch, out, problems, start, stop, watch, watchPolicy } from "./harness.mjs";

const key = "a-key-for-the-console";
let gateway, browser, base, admin;

before(async () => {
  const [listen, operator] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  base = `http://${listen}`;
  admin = `http://${operator}`;
  gateway = start(bin, ["serve", "--dev", "--listen", listen, "--admin-listen", operator, "--admin-key", key]);
  await eventually("the gateway is ready", () => isReady(admin));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await stop(gateway);
});

test("an operator signs in, looks at a room, and kicks", { timeout: 120_000 }, async () => {
  const visitor = await (await browser.newContext()).newPage();
  await visitor.goto(`${base}/client.js`);
  await visitor.evaluate(async () => {
    const { connect } = await import("/client.js");
    const url = new URL("/ws", location.href);
    url.protocol = "ws:";
    const room = await connect(url, { credential: "ben" }).join("lobby", { data: { name: "<b>Ben</b>" } });
    window.removed = [];
    room.addEventListener("removed", ({ reason }) => window.removed.push(reason));
  });

  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  // Without a key the page comes with 401, and a wrong one is answered so; a room that has emptied isn't there.
  watch(page, "the console", [/status of (401|404)/]);
  await watchPolicy(page);
  await page.goto(`${admin}/console`);
  await page.locator("input").first().fill("not the key at all");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /key/i.test(document.querySelector("[role=alert]")?.textContent ?? ""));
  await page.locator("input").first().fill(key);
  await page.keyboard.press("Enter");
  await page.getByText("The promise is kept").waitFor();
  await page.locator("table").getByText("ready").waitFor();
  await page.screenshot({ path: join(out, "console-light.png"), fullPage: true });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await audit(page, colorScheme);
  }
  await page.screenshot({ path: join(out, "console-dark.png"), fullPage: true });
  await page.emulateMedia({ colorScheme: "light" });
  await page.getByRole("link", { name: "Rooms" }).first().click();
  await page.getByRole("link", { name: "lobby" }).first().click();
  await page.getByText("<b>Ben</b>").first().waitFor();
  await page.screenshot({ path: join(out, "console-room.png"), fullPage: true });
  await page.getByRole("button", { name: /^Kick/ }).first().click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByRole("button", { name: /Kick/ }).click();
  await visitor.waitForFunction(() => window.removed.includes("kicked"));
  await page.setViewportSize({ width: 390, height: 800 });
  await page.goto(`${admin}/console`);
  await page.getByRole("heading").first().waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "it fits on a phone");
  await page.screenshot({ path: join(out, "console-phone.png"), fullPage: true });
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(problems, []);
});
