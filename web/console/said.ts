/** What came of the operator's last action, in words: it stays until the next, or until it is dismissed. */
import { at, mark, type Child } from "./dom";

export function announce(words: Child[], kind: "done" | "warn" = "done"): void {
  mark(at("said"), "data-kind", kind);
  at("said").hidden = false;
  at("what-was-said").replaceChildren(...words);
}

export function hush(): void {
  at("said").hidden = true;
  at("what-was-said").replaceChildren();
}

/** toldLater is added where Redis is out of reach, and a decision counts on one pod alone for now. */
export const toldLater = (answer?: { degraded?: true }): string =>
  answer?.degraded ? " Redis is out of reach: the other pods hear of it when it is back, if this one lives until then." : "";
