// A stretch of network between a browser and the gateway, which goes bad on demand.
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A TCP proxy on a port of its own. */
export class Network {
  #server;
  #target;
  #lines = new Set(); // both ends of each connection, and whether what comes is passed on
  #takes = "all";

  /** Passes on to a host:port. */
  async start(target) {
    const [host, port] = target.split(":");
    this.#target = { host, port };
    this.#server = createServer((near) => this.#pass(near)).listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.address = `127.0.0.1:${this.#server.address().port}`;
    this.base = `http://${this.address}`;
  }

  #pass(near) {
    near.on("error", () => {});
    if (this.#takes === "none") return near.destroy();
    const line = { ends: [near], swallows: this.#takes === "silently" };
    this.#lines.add(line);
    near.on("close", () => this.#lines.delete(line));
    near.on("data", () => {}); // so that its end is seen also where nobody reads
    if (line.swallows) return;
    const far = connect(this.#target);
    far.on("error", () => {});
    line.ends.push(far);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay();
      from.on("data", (bytes) => { if (!line.swallows) to.write(bytes); });
      from.on("close", () => { if (!line.swallows) to.destroy(); });
    }
  }

  /** What is under way arrives nowhere from now on, and neither end is told: a laptop's lid was shut, or a router forgot. */
  swallow() {
    for (const line of this.#lines) line.swallows = true;
  }

  /** Ends all connections. */
  cut() {
    for (const { ends } of this.#lines) for (const end of ends) end.destroy();
  }

  /** What becomes of new connections: "all" go through, "none" does, or they are taken "silently" and nothing comes of it. */
  take(which) { this.#takes = which; }

  stop() {
    this.#server?.close();
    this.cut();
  }
}
