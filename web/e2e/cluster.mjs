// Pods over one Redis, behind a balancer that deals sockets out in turn: what a browser has before it.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bin, eventually, freePort, isReady, start, stop } from "./harness.mjs";

/** One pod: a program that may be stopped, and started again where it was. */
class Pod {
  constructor(name, listen, operator, args) {
    Object.assign(this, { name, listen, operator, args });
  }

  async start() {
    this.program = start(bin, this.args);
    await eventually(`${this.name} is ready`, () => isReady(`http://${this.operator}`));
  }

  /** By SIGTERM it drains first. */
  stop(signal) { return stop(this.program, signal); }

  /** A counter or a gauge; 0 where it isn't there. */
  async metric(name) {
    const text = await (await fetch(`http://${this.operator}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? 0);
  }
}

/** The balancer's configuration is the demo's, whose template is Go's. */
function render(listen, pods) {
  const template = readFileSync(join(import.meta.dirname, "../../deploy/demo/haproxy.cfg"), "utf8");
  return template.replace("{{.Listen}}", listen).replace(/\{\{- range \.Pods\}\}(.*?)\s*\{\{- end\}\}/s, (_, server) => pods.map((pod) =>
    server.replace("{{.Name}}", pod.name).replace("{{.Address}}", pod.listen).replace("{{.HealthPort}}", pod.operator.split(":")[1])).join(""));
}

/** Make it, start it, and stop it also where the start threw: what it had started by then is running. */
export class Cluster {
  pods = [];
  #dir = mkdtempSync(join(tmpdir(), "roompass-"));
  #redisPort;

  /** Starts Redis, so many pods whose serve gets these flags too, and the balancer, at whose base they are one. */
  async start(count, flags) {
    this.#redisPort = await freePort();
    this.redis = start("redis-server", ["--port", this.#redisPort, "--bind", "127.0.0.1", "--save", "", "--dir", this.#dir]);
    await eventually("Redis answers", async () => await this.cli("ping") === "PONG");
    assert.equal(await stop(start(bin, ["keygen", "--out", this.#dir]), 0) ?? 0, 0);
    for (let i = 0; i < count; i++) {
      const name = `pod${i}`, listen = `127.0.0.1:${await freePort()}`, operator = `127.0.0.1:${await freePort()}`;
      const pod = new Pod(name, listen, operator, ["serve", "--dev", "--key", join(this.#dir, "key.pem"), "--redis", `redis://127.0.0.1:${this.#redisPort}`,
        "--pod-id", name, "--listen", listen, "--admin-listen", operator, ...flags]);
      this.pods.push(pod);
      await pod.start();
    }
    const port = await freePort();
    this.address = `127.0.0.1:${port}`;
    this.base = `http://${this.address}`;
    const config = join(this.#dir, "haproxy.cfg");
    writeFileSync(config, render(this.address, this.pods));
    this.balancer = start("haproxy", ["-f", config, "-db"]);
    await eventually("the balancer answers", () => fetch(`${this.base}/client.js`).then((r) => r.ok, () => false));
  }

  /** Asks Redis, and returns what it says. */
  async cli(...args) {
    const program = start("redis-cli", ["-p", this.#redisPort, ...args]);
    await new Promise((resolve) => program.on("close", resolve));
    return program.log.trim();
  }

  async stop() {
    for (const program of [this.balancer, ...this.pods.map((pod) => pod.program), this.redis]) await stop(program, "SIGKILL");
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
