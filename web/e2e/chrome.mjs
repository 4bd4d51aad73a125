// A Chromium as people have it. Playwright keeps each page visible, its timers quick and the back-forward cache off,
// and that can't be undone from within: here a tab in the back is hidden, and what is left can be come back to.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { executablePath, flags, problems } from "./harness.mjs";

/** Chromium's DevTools protocol on a pipe: messages of JSON with a zero byte behind each. */
export class Chrome {
  #program;
  #profile = mkdtempSync(join(tmpdir(), "roompass-chrome-"));
  #id = 0;
  #answers = new Map();
  #tabs = new Map();

  constructor(...more) {
    this.#program = spawn(executablePath, ["--headless", "--remote-debugging-pipe", `--user-data-dir=${this.#profile}`, ...flags, ...more, "about:blank"],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const [, , , to, from] = this.#program.stdio;
    to.on("error", () => {}); // it is gone; who waits for an answer is told below
    let text = "";
    from.setEncoding("utf8").on("data", (more) => {
      const messages = (text + more).split("\0");
      text = messages.pop();
      for (const message of messages) this.#receive(JSON.parse(message));
    });
    this.#program.on("exit", () => this.#answers.forEach(({ reject }) => reject(new Error("Chromium is gone"))));
  }

  send(method, params = {}, sessionId = undefined) {
    return new Promise((resolve, reject) => {
      const id = ++this.#id;
      this.#answers.set(id, { method, resolve, reject });
      this.#program.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  #receive({ id, result, error, method, params, sessionId }) {
    if (id === undefined) return this.#tabs.get(sessionId)?._event(method, params);
    const { method: asked, resolve, reject } = this.#answers.get(id);
    this.#answers.delete(id);
    if (error) reject(new Error(`${asked}: ${error.message}`));
    else resolve(result);
  }

  /** Opens a tab, in front of the others; prepare runs in each page of it before the page's own scripts. */
  async open(name, { prepare, isNoise = () => false } = {}) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(name, isNoise, (method, params) => this.send(method, params, sessionId));
    this.#tabs.set(sessionId, tab);
    for (const domain of ["Page", "Runtime", "Log"]) await tab.send(`${domain}.enable`);
    if (prepare) await tab.send("Page.addScriptToEvaluateOnNewDocument", { source: `(${prepare})({})` });
    return tab;
  }

  async close() {
    const exit = once(this.#program, "exit");
    if (this.#program.exitCode === null && this.#program.signalCode === null) {
      this.send("Browser.close").catch(() => {});
      await exit;
    }
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Tab {
  #name;
  #isNoise;
  #loaded = () => {};

  constructor(name, isNoise, send) {
    this.#name = name;
    this.#isNoise = isNoise;
    this.send = send;
  }

  _event(method, params) {
    const said = {
      "Runtime.consoleAPICalled": () => ["error", "warning"].includes(params.type) && params.args.map((a) => a.value ?? a.description).join(" "),
      "Runtime.exceptionThrown": () => params.exceptionDetails.exception?.description ?? params.exceptionDetails.text,
      "Log.entryAdded": () => ["error", "warning"].includes(params.entry.level) && `${params.entry.text} ${params.entry.url ?? ""}`,
    }[method]?.();
    if (said && !this.#isNoise(said)) problems.push(`${this.#name}: ${said}`);
    if (method === "Page.frameNavigated") this.#loaded();
  }

  /** As Playwright's: a function, and one argument for it. */
  async evaluate(what, argument) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate",
      { expression: `(${what})(${JSON.stringify(argument)})`, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async #go(method, params) {
    const loaded = new Promise((resolve) => { this.#loaded = resolve; });
    await this.send(method, params);
    await loaded;
  }

  goto(url) { return this.#go("Page.navigate", { url }); }

  async back() {
    const { currentIndex, entries } = await this.send("Page.getNavigationHistory");
    await this.#go("Page.navigateToHistoryEntry", { entryId: entries[currentIndex - 1].id });
  }

  /** Puts it before the other tabs, which are hidden then. */
  bringToFront() { return this.send("Page.bringToFront"); }

  /** As a browser does to save power, or a laptop in sleep: nothing runs in it. */
  freeze() { return this.send("Page.setWebLifecycleState", { state: "frozen" }); }
  thaw() { return this.send("Page.setWebLifecycleState", { state: "active" }); }

  /** What a machine says of its network to the pages: it fires online and offline. */
  setOffline(offline) {
    return this.send("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }
}
