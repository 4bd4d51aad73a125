/** What is said and what happens, as lists; and the little of it that a screen reader says by itself. */
import { at, make } from "./dom";

const marks = { token: "↻", people: "●", link: "⇄", trouble: "⚡", good: "✓", bad: "✕" } as const;

/** Writes down what happened, the newest first. */
export function note(kind: keyof typeof marks, text: string) {
  const timeline = at("timeline");
  timeline.prepend(make("li", { className: kind },
    make("time", { textContent: new Date().toLocaleTimeString([], { hour12: false }) }),
    make("span", { className: "mark", textContent: marks[kind], ariaHidden: "true" }),
    make("span", { textContent: text })));
  while (timeline.childElementCount > 200) timeline.lastElementChild!.remove();
}

/** Says something aloud where there is a screen reader: who comes and goes, and what breaks. Tokens come in silence. */
export function announce(text: string) { at("news").textContent = text; }

/** Shows a message. */
export function say(who: string, text: string) {
  const line = make("li", {}, make("b", { textContent: who }), text);
  at("messages").append(line);
  const frame = at("messages").parentElement!;
  frame.scrollTop = frame.scrollHeight;
}

export function clear() {
  for (const id of ["timeline", "messages"]) at(id).replaceChildren();
  announce("");
}
