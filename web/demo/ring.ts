/**
 * A ring that shows how much of a token's life is left. It is for people to look at: nothing is fetched by it, and
 * when it is empty nothing happens but that one sees it.
 */
import type { Token } from "../client/src/client";

/** How long a token is good for, on this page's clock. */
export interface Life {
  /** When it ends, as performance.now() has it. */
  readonly until: number;
  /** From its issue to its end, in milliseconds. */
  readonly whole: number;
}

export const lifeOf = (token: Token): Life => ({ until: token.receivedAt + token.expiresIn, whole: token.expiresAt - token.issuedAt });

export const leftOf = (life?: Life) => (life ? Math.max(0, life.until - performance.now()) : 0);

const shape = `
  <circle class="track" cx="24" cy="24" r="20"/>
  <circle class="arc" cx="24" cy="24" r="20" pathLength="1"/>
  <text x="24" y="24"></text>`;

export class Ring {
  readonly element = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  life?: Life;
  #seconds = -1;

  constructor(readonly whose: string) {
    this.element.setAttribute("class", "ring");
    this.element.setAttribute("viewBox", "0 0 48 48");
    this.element.setAttribute("role", "img");
    this.element.innerHTML = shape;
    this.draw();
  }

  draw() {
    const left = leftOf(this.life), part = this.life ? Math.min(1, left / this.life.whole) : 0;
    const seconds = Math.ceil(left / 1000);
    if (seconds === this.#seconds) return;
    this.element.classList.toggle("filling", seconds > this.#seconds); // it steps down, and fills in one sweep
    this.#seconds = seconds;
    this.element.querySelector<SVGElement>(".arc")!.style.strokeDashoffset = String(1 - part);
    this.element.classList.toggle("low", part < 0.12);
    this.element.classList.toggle("empty", part === 0);
    this.element.querySelector("text")!.textContent = left ? String(seconds) : "–";
    this.element.setAttribute("aria-label", left ? `${this.whose} token is good for ${seconds} seconds more` : `${this.whose} token isn't known to be good`);
  }
}
