/** Which pods there are: whether another one is left if this one is killed. */
import { at, make } from "./dom";

interface Pod { pod: string; state: string }

export class Pods {
  #timer?: ReturnType<typeof setTimeout>;
  #over = false;
  #own = "";
  /** There is only one: nothing is shown, and nobody asked again. */
  #alone = true;
  #killed?: { pod: string; until: number };

  /** Shows the pods as they are now, and while one of several is away, until it is back. */
  async look(own: string) {
    clearTimeout(this.#timer);
    this.#own = own;
    let pods: Pod[] = [];
    try {
      const answer = await fetch("/demo/pods");
      if (answer.ok) ({ pods } = await answer.json() as { pods: Pod[] });
    } catch {
      // The balancer may be looking for another pod just now.
    }
    if (this.#over || own !== this.#own) return;
    const killed = pods.find(({ pod }) => pod === this.#killed?.pod);
    if (killed?.state === "ready" && performance.now() < this.#killed!.until) killed.state = "lost";
    else if (this.#killed && pods.length) this.#killed = undefined;
    if (pods.length) this.#show(pods);
    const waits = !pods.length || !this.#alone && pods.filter(({ state }) => state === "ready").length < 2;
    clearTimeout(this.#timer);
    if (waits) this.#timer = setTimeout(() => void this.look(this.#own), 900);
  }

  /** A pod was killed. For a moment, until its lease is over, the others still take it for living. */
  lose(pod: string) {
    this.#killed = { pod, until: performance.now() + 8000 };
    at<HTMLButtonElement>("kill").disabled = true;
  }

  stop() {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #show(pods: Pod[]) {
    if (pods.length > 1) this.#alone = false;
    at("pods").replaceChildren(...pods.map(({ pod, state }) => make("li", { className: state },
      make("b", { textContent: pod }), ` ${state === "lost" ? "dead, soon back" : state}${pod === this.#own ? ", you are on it" : ""}`)));
    at("pods").hidden = at("killing").hidden = this.#alone;
    at<HTMLButtonElement>("kill").disabled = pods.filter(({ state }) => state === "ready").length < 2;
  }
}
