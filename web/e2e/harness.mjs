// What the browser tests share: programs that they start, and a Chromium.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const bin = process.env.ROOMPASS_BIN;
export const out = process.env.OUT ?? join(import.meta.dirname, "out");
export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
assert.ok(bin && existsSync(bin), "set ROOMPASS_BIN to the built binary: make build makes bin/roompass");
assert.ok(existsSync(executablePath), "Chromium is missing: apt-get install chromium, or set CHROMIUM to yours");
mkdirSync(out, { recursive: true });

/** What a page wrote to its console, and what else went wrong there. */
export const problems = [];

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function eventually(what, look, ms = 20_000) {
  for (const end = Date.now() + ms; ;) {
    const got = await look();
    if (got) return got;
    if (Date.now() > end) throw new Error(`in vain: ${what}\n${problems.join("\n")}\n${programs.map((p) => p.log.slice(-2000)).join("\n")}`);
    await sleep(50);
  }
}

const programs = [];

/** Starts a program, and keeps what it writes in its log. */
export function start(file, args) {
  const program = Object.assign(spawn(file, args), { log: "" });
  for (const stream of [program.stdout, program.stderr]) stream.on("data", (text) => { program.log += text; });
  program.on("error", (why) => { program.log += `${file}: ${why.message}: run make tools`; });
  programs.push(program);
  return program;
}

/** Ends a program by a signal, and returns its exit code. */
export async function stop(program, signal = "SIGTERM") {
  if (!program || program.exitCode !== null || program.signalCode !== null) return program?.exitCode;
  program.kill(signal);
  const [code] = await once(program, "exit");
  return code;
}

export const isReady = (admin) => fetch(`${admin}/readyz`).then((r) => r.ok, () => false);

// Host candidates as addresses: as mDNS names they would need multicast, which a container may not have.
export const flags = ["--disable-features=WebRtcHideLocalIpsWithMdns", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Starts Chromium, with more arguments where they are given. */
export const launch = (...args) => chromium.launch({ executablePath, args: [...flags, ...args] });

/** Notes what a page complains of, but for what is quiet. */
export function watch(page, name, quiet = []) {
  page.on("console", (m) => {
    if (["error", "warning"].includes(m.type()) && !quiet.some((q) => q.test(m.text()))) problems.push(`${name}: ${m.text()}`);
  });
  page.on("pageerror", (why) => problems.push(`${name}: ${why.message}`));
}

/** Notes in the page's window.violations what breaks its Content-Security-Policy. */
export const watchPolicy = (page) => page.addInitScript(() => {
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
});

const axe = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");

/** What axe has against a page that is more than a matter of taste. */
export async function audit(page, how) {
  // The page's policy lets no script in but its own, and this one comes by the debugger.
  await page.evaluate(axe);
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  assert.ok(passes.length > 10, `axe looked at ${passes.length} things only`);
  assert.deepEqual(violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${how}: ${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(" | ")}`), []);
}

/** Opens the demo in a context of its own; prepare may change the page before it loads. */
export async function openTab(browser, base, name, { prepare, quiet = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 860 }, ...options });
  const page = await context.newPage();
  await prepare?.(page);
  watch(page, name, quiet);
  await page.goto(`${base}/?${new URLSearchParams({ room: "lobby", name })}`);
  await page.waitForFunction(() => window.roompass?.room.token);
  return page;
}

export const inRoom = (page, look, ...args) => page.evaluate(look, ...args);

/** Waits until the two see each other by a data channel. */
export const channelsOpen = (...pages) => eventually("a data channel is open", async () =>
  (await Promise.all(pages.map((page) => inRoom(page, () => {
    const { room, mesh } = window.roompass ?? {};
    return room?.members.some(({ id }) => id !== room.member && mesh.isOpen(id));
  })))).every(Boolean));
