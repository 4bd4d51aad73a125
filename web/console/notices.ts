/** What one has to know about all that is on the page: that it is old, or one pod's alone. */
import { at, el, mark, say } from "./dom";
import type { Reach } from "./poll";
import { clock, sentence } from "./words";

let shown = "";

export function clearNotices(): void {
  shown = "";
  at("notices").replaceChildren();
}

/** showReach says in the header how fresh the page is, and above the page what is wrong. */
export function showReach(reach: Reach, degraded: boolean, retry: () => void): void {
  const words = { first: "looking…", live: "live", paused: "paused", lost: "out of reach" }[reach.state];
  const kind = reach.state === "live" && degraded ? "degraded" : reach.state;
  say(at("reach"), kind === "degraded" ? "live, degraded" : words);
  mark(at("reach"), "data-state", kind);
  mark(at("main"), "data-stale", reach.state === "lost" ? "" : undefined);

  const lost = reach.state === "lost";
  // It is a live region: it changes when there is news, and not with each look.
  const is = lost ? `lost ${reach.since} ${reach.why}` : degraded ? "degraded" : "";
  if (is === shown) return;
  shown = is;
  if (lost) {
    at("notices").replaceChildren(el("div", { class: "notice bad" },
      el("p", {}, el("b", {}, `Out of reach since ${clock(reach.since)}.`),
        ` ${sentence(reach.why)} ${reach.seen ? "What is below is from then." : "Nothing has been seen yet."} The console goes on trying.`),
      el("button", { type: "button", class: "small", onclick: retry }, "Try now")));
  } else if (degraded) {
    at("notices").replaceChildren(el("div", { class: "notice warn" },
      el("p", {}, el("b", {}, "Redis is out of reach."), " What is below is what one pod knows. Sockets stay and tokens come; what you decide reaches the other pods when Redis is back.")));
  } else {
    clearNotices();
  }
}
