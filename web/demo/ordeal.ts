/** What somebody did to see what happens, and how it went, in words. */
import type { Token } from "../client/src/client";
import { leftOf, lifeOf } from "./ring";

export class Ordeal {
  #since = performance.now();

  constructor(readonly what: "drop" | "sleep" | "kill", readonly pod: string) {}

  /** How it went, for who is back on a pod with a token. */
  words(pod: string, token: Token): string {
    const after = (moment: number) => `${Math.max(1, Math.round(moment - this.#since))} ms`;
    const back = after(performance.now());
    const where = pod && pod !== this.pod ? ` on ${pod}` : "";
    const fresh = token.receivedAt >= this.#since;
    const holds = fresh ? "" : ` The token from before is good for ${Math.round(leftOf(lifeOf(token)) / 1000)} s more.`;
    switch (this.what) {
      case "drop": return `Back${where} ${back} after the socket dropped, as the same member.${holds}`;
      case "kill": return `${this.pod} is dead. Back${where} after ${back}, as the same member: nobody saw you leave.${holds}`;
      case "sleep": return fresh ? `Awake${where}: a fresh token ${after(token.receivedAt)} after waking.` : `Awake${where}, back after ${back}.${holds}`;
    }
  }
}
