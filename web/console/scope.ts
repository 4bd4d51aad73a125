/**
 * What the key may do. The API doesn't say before it is asked to change something, so that a key which may only read is known as
 * such from its first refusal on. Then nothing is asked in vain any more, and each button says why.
 */
import { Problem } from "./api";
import { at, el, mark } from "./dom";
import { announce } from "./said";

const why = "This key may only read. To change something, sign out, and in again with one that may.";

let mayWrite = true;

export function setMayWrite(may: boolean): void {
  mayWrite = may;
  at("read-only").hidden = may;
  for (const button of document.querySelectorAll("button[data-acts]")) mark(button, "aria-disabled", may ? undefined : "true");
}

/** explain is what an action's failure says to a person; it notices what the failure tells of the key. */
export function explain(failure: unknown): string {
  if (!(failure instanceof Problem) || failure.code !== "not_allowed") return (failure as Error).message;
  setMayWrite(false);
  return why;
}

/** acts is a button that changes something. about tells it from its like in other rows, to those who hear it. */
export function acts(label: string, about: string, run: () => void): HTMLButtonElement {
  const go = () => { if (mayWrite) run(); else announce([why], "warn"); };
  const button = el("button", { type: "button", class: "small", "data-acts": true, onclick: go }, label);
  if (about) button.append(el("span", { class: "hidden" }, ` ${about}`));
  if (!mayWrite) mark(button, "aria-disabled", "true");
  return button;
}
