// Looks at the tokens that pages hold, from outside, all the time.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { sleep } from "./harness.mjs";

/** What is read in a page in one step: the newest token, and the time by the machine's clock, whatever the page's says. */
const read = () => ({ token: window.room.token.token, at: window.trueNow(), expiresAt: window.room.token.expiresAt, state: window.gateway.state });

/** Verifies with no tolerance at all. */
export class Freshness {
  failures = [];
  #keys;
  #watches = [];

  constructor(base) { this.#keys = createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`)); }

  async #verify({ token, at }) {
    const { payload } = await jwtVerify(token, this.#keys, { currentDate: new Date(at), clockTolerance: 0, audience: "webrtc_auth", algorithms: ["RS512"] });
    return payload;
  }

  /** What a page's token says; it rejects when that doesn't hold at the moment of reading. */
  async check(page) { return this.#verify(await page.evaluate(read)); }

  /** Looks from now on, every so many ms. The watch that it returns counts, until it is stopped. */
  watch(name, page, every = 150) {
    const watch = { looks: 0, tokens: new Set(), since: Date.now(), until: Date.now(), on: true };
    watch.done = (async () => {
      while (watch.on) {
        const next = sleep(every);
        const reading = await page.evaluate(read);
        // Where the machine had no time for as long as this, what was pushed may lie before a page that comes to
        // it only now. That says nothing of the gateway; the next look is as strict as ever.
        const starved = reading.at - watch.until > every + 1000;
        watch.until = reading.at;
        try {
          await this.#verify(reading);
          watch.tokens.add(reading.token);
          watch.looks++;
        } catch (why) {
          if (!starved) this.failures.push(`${name}, ${reading.state}: ${why.message}, ${reading.at - reading.expiresAt} ms after it expired`);
        }
        await next;
      }
    })();
    watch.stop = async () => {
      watch.on = false;
      await watch.done;
      return watch;
    };
    this.#watches.push(watch);
    return watch;
  }

  async stop() {
    await Promise.all(this.#watches.map((watch) => watch.stop()));
  }
}
