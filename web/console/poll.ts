/**
 * Looking again and again, as long as somebody is looking: not in a hidden tab, and ever more seldom where nothing answers.
 */

/** How what is on the page came about. */
export interface Reach {
  state: "first" | "live" | "paused" | "lost";
  /** When the newest answer came; 0: none has. */
  seen: number;
  /** Since when it is lost. */
  since: number;
  /** Why it is lost, for a person. */
  why: string;
}

const every = 2000, mostSeldom = 30_000; // ms

export class Poll {
  reach: Reach = { state: "first", seen: 0, since: 0, why: "" };
  #look: (signal: AbortSignal) => Promise<void>;
  #changed: (reach: Reach) => void;
  #timer?: number;
  #asking?: AbortController;
  #failures = 0;
  #on = false;

  /** look asks and shows, or throws; it isn't called again before it is done. changed is told after each, and of pauses. */
  constructor(look: (signal: AbortSignal) => Promise<void>, changed: (reach: Reach) => void) {
    this.#look = look;
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => { if (this.#on) this.#visible(); });
  }

  start(): void {
    this.#on = true;
    this.#failures = 0;
    this.reach = { state: "first", seen: 0, since: 0, why: "" };
    this.#visible();
  }

  stop(): void {
    this.#on = false;
    this.#rest();
  }

  /** now looks at once, in place of what is on its way. */
  now(): void {
    if (!this.#on || document.hidden) return;
    this.#rest();
    void this.#ask();
  }

  #visible(): void {
    if (!document.hidden) return this.now();
    this.#rest();
    if (this.reach.state !== "lost") this.reach = { ...this.reach, state: this.reach.seen ? "paused" : "first" };
    this.#changed(this.reach);
  }

  #rest(): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = undefined;
  }

  async #ask(): Promise<void> {
    const asking = this.#asking = new AbortController();
    try {
      await this.#look(asking.signal);
      if (asking.signal.aborted || !this.#on) return;
      this.#failures = 0;
      this.reach = { state: "live", seen: Date.now(), since: 0, why: "" };
    } catch (why) {
      if (asking.signal.aborted || !this.#on) return;
      this.#failures++;
      const { seen, since } = this.reach;
      // What was seen last was true then, and nobody knows for how much longer.
      this.reach = { state: "lost", seen, since: since || seen || Date.now(), why: (why as Error).message };
    }
    this.#changed(this.reach);
    // Spread, so that the consoles of several people don't come back at the same time.
    const pause = this.#failures ? Math.min(mostSeldom, every * 2 ** (this.#failures - 1)) * (0.75 + Math.random() / 2) : every;
    this.#timer = setTimeout(() => void this.#ask(), pause);
  }
}
