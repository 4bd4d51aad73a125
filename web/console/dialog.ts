/** Asking before something is done, and saying in the same place when it couldn't be. */
import { at, el, type Child } from "./dom";
import { announce } from "./said";
import { explain } from "./scope";
import { sentence } from "./words";

export interface Outcome {
  /** Is announced. */
  said: Child[];
  /** Not all is as it was meant to be. */
  warn?: boolean;
  /** Stays in the dialog until it is closed: what one has to know now, and what the dialog is called then. */
  toKnow?: { title: Child[]; body: Child[] };
}

export interface Question {
  title: Child[];
  /** Says what will happen; and the fields, if there are any. */
  body: Child[];
  /** What the button is called that does it. */
  does: string;
  danger?: boolean;
  /** Does it, and may throw. */
  act: (form: FormData) => Promise<Outcome>;
  /** Has the page look at once at what came of it. */
  then: () => void;
}

export function ask({ title, body, does, danger, act, then }: Question): void {
  const opener = document.activeElement;
  const heading = el("h2", { id: "question", tabindex: -1 }, ...title);
  const failure = el("p", { class: "failure", role: "alert" });
  const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const doIt = el("button", { class: danger ? "danger" : "primary" }, does);
  const row = el("div", { class: "row" }, cancel, doIt);
  const form = el("form", { onsubmit: (event) => { event.preventDefault(); void submit(); } }, ...body, failure, row);
  const dialog = el("dialog", { class: "card", "aria-labelledby": "question" }, heading, form);

  let busy = false;
  const submit = async () => {
    if (busy) return;
    busy = true;
    failure.textContent = "";
    doIt.setAttribute("aria-disabled", "true");
    try {
      const { said, warn, toKnow } = await act(new FormData(form));
      announce(said, warn ? "warn" : "done");
      then();
      if (toKnow && dialog.open) {
        const close = el("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close");
        heading.replaceChildren(...toKnow.title);
        form.replaceChildren(...toKnow.body, el("div", { class: "row" }, close));
        heading.focus();
      } else {
        dialog.close();
      }
    } catch (why) {
      const text = sentence(explain(why));
      // Who didn't wait is told where they are now.
      if (dialog.open) failure.textContent = text;
      else announce([`${does}: `, text], "warn");
    } finally {
      busy = false;
      doIt.removeAttribute("aria-disabled");
    }
  };
  dialog.addEventListener("close", () => {
    dialog.remove();
    // The row with the button may be gone, because of what was done.
    if (!opener?.isConnected) (at("main").querySelector<HTMLElement>("h1") ?? at("main")).focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  const field = form.querySelector<HTMLElement>("input, select");
  (field ?? (danger ? cancel : doIt)).focus();
}
