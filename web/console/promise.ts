/** The promise, and whether it is kept: of the connected, nobody's newest token ever runs out. */
import type { Pod } from "./api";
import { el, foreign, mark, say, svg, type Child } from "./dom";
import { shown, type History } from "./history";
import type { Reach } from "./poll";
import { clock, count, number, span } from "./words";

const signs = {
  kept: "M7 12.5l3.4 3.4L17 9", // a tick
  broken: "M8 8l8 8M16 8l-8 8", // a cross
  unsure: "M12 7v6M12 16.5v.5", // an exclamation mark
};

export class Promised {
  readonly element: HTMLElement;
  #sign = svg("path", { d: signs.unsure });
  #verdict = el("p", { class: "verdict" }, "Looking…");
  #why = el("p", { class: "hint" });
  #facts = new Map<string, HTMLElement>();

  constructor() {
    const facts = ["Pods ready", "Connections", "Members", "Tokens pushed"].map((name) => {
      const value = el("dd", {}, "–");
      this.#facts.set(name, value);
      return el("div", {}, el("dt", {}, name), value);
    });
    this.element = el("section", { class: "card promise", "aria-labelledby": "promise" },
      svg("svg", { viewBox: "0 0 24 24", class: "sign", "aria-hidden": true }, svg("circle", { cx: 12, cy: 12, r: 11 }), this.#sign),
      el("div", {}, el("h2", { id: "promise", class: "hidden" }, "The promise"), this.#verdict, this.#why),
      el("dl", {}, ...facts));
  }

  show(history: History, reach: Reach): void {
    const list = history.latest;
    if (!list) {
      if (reach.state === "lost") this.#say("unsure", "Not known", ["Nothing has answered since this page was opened."]);
      return;
    }
    const there = list.pods.filter(({ state }) => state !== "lost");
    this.#fact("Pods ready", `${there.filter(({ state }) => state === "ready").length} of ${list.pods.length}`);
    this.#fact("Connections", number(sum(there, (p) => p.connections)));
    this.#fact("Members", number(sum(there, (p) => p.members)));
    this.#fact("Tokens pushed", number(sum(list.pods, (p) => p.pushes)));

    const lapses = sum(list.pods, (p) => p.lapses);
    if (reach.state === "lost") {
      return this.#say("unsure", `Not known since ${clock(reach.since)}`, [`Then it was ${count(lapses, "lapse")}.`]);
    }
    if (lapses) return this.#say("broken", count(lapses, "lapse"), broken(list.pods, lapses, history));
    const oldest = Math.min(...list.pods.filter((p) => p.since > 0).map((p) => p.since));
    const since = Number.isFinite(oldest) ? `, the first of them ${span(Date.now() - oldest)} ago` : "";
    if (list.degraded) return this.#say("unsure", "0 lapses here", ["Nobody's token ran out on the pod that answers. The others can't be asked."]);
    this.#say("kept", "0 lapses", [
      "The promise is kept: nobody who is connected has held a token that ran out" +
      (list.pods.length > 1 ? `, on any of ${count(list.pods.length, "pod")} since they started${since}.` : `, since the pod started ${span(Date.now() - oldest)} ago.`),
    ]);
  }

  #fact(name: string, value: string) { say(this.#facts.get(name)!, value); }

  #say(kind: keyof typeof signs, verdict: string, why: Child[]): void {
    mark(this.element, "data-kind", kind);
    mark(this.#sign, "d", signs[kind]);
    say(this.#verdict, verdict);
    this.#why.replaceChildren(...why);
  }
}

/** broken says where, and whether it goes on. */
function broken(pods: Pod[], lapses: number, { samples }: History): Child[] {
  const where = pods.filter((p) => p.lapses).flatMap((p, i): Child[] => [i ? ", " : "", foreign(p.pod), ` (${number(p.lapses)})`]);
  const before = samples.find(({ at }) => at >= Date.now() - shown);
  const then = before ? [...before.pods].filter(([pod]) => pods.some((p) => p.pod === pod)).reduce((n, [, p]) => n + p.lapses, 0) : lapses;
  const lately = lapses > then ? ` ${number(lapses - then)} of them while this page looked on, in the last 5 minutes.` : " None of them while this page looked on.";
  return [`So many times a token ran out under somebody who was connected, since the pods started: on `, ...where, ".", lately];
}

const sum = (pods: Pod[], of: (pod: Pod) => number) => pods.reduce((total, pod) => total + of(pod), 0);
