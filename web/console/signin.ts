/** What there is instead of the views for somebody without a key, and where there is nothing to have a key for. */
import { api, Problem } from "./api";
import { at, el, mark } from "./dom";
import { key, readKey } from "./key";
import { sentence } from "./words";

/** showSignIn asks for the key until one opens the API, and then calls entered. why says why it is asked for, if that may surprise. */
export function showSignIn(why: string, entered: () => void): void {
  const failure = el("p", { id: "failure", class: "failure", role: "alert" });
  const input = el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: false, required: true, "aria-describedby": "whence failure" });
  const button = el("button", { class: "primary" }, "Sign in");
  const refuse = (text: string) => {
    failure.textContent = text;
    mark(input, "aria-invalid", "true");
    input.focus();
    input.select();
  };
  const submit = async () => {
    const given = readKey(input.value);
    failure.textContent = "";
    mark(input, "aria-invalid");
    if (given === undefined) return refuse("No key looks like this: it has letters, digits and - . _ ~ + / only.");
    button.disabled = true;
    key.set(given);
    try {
      await api.pods();
      entered();
    } catch (why) {
      key.forget();
      if (why instanceof Problem && why.code === "no_admin_key") showOff();
      else if (why instanceof Problem && why.status === 401) refuse("This is none of the gateway's keys.");
      else refuse(sentence(why instanceof Problem ? why.message : `The gateway is out of reach: ${(why as Error).message}`));
    } finally {
      button.disabled = false;
    }
  };
  at("main").replaceChildren(el("form", { class: "card entrance", onsubmit: (event) => { event.preventDefault(); void submit(); } },
    el("h1", { tabindex: -1 }, "Operator's console"),
    ...why ? [el("p", { class: "note" }, why)] : [],
    el("label", { for: "key" }, "Key of the operator's API"), input,
    el("p", { id: "whence", class: "hint" },
      "One that the gateway was started with, as ", el("code", {}, "--admin-key"), "; with ", el("code", {}, "--dev"), " it is printed at the start. It is kept in this tab only, until you sign out or close it."),
    failure, button));
  input.focus();
}

/** showOff is for a gateway that has no key, so that nobody may ask it anything. */
export function showOff(): void {
  at("main").replaceChildren(el("section", { class: "card entrance" },
    el("h1", { tabindex: -1 }, "The operator's API is off"),
    el("p", {}, "This gateway was started without a key for it, so there is nothing that the console could show."),
    el("p", {}, "Make one, and start the gateway with it:"),
    el("pre", { tabindex: 0, "aria-label": "Commands" }, "(umask 077; openssl rand -hex 32 > admin-key)\nroompass serve --admin-key @admin-key …")));
}
