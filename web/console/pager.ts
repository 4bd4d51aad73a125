/** Links through a list's pages. The API knows the next only, so that the way back is the browser's, or the first. */
import { Problem } from "./api";
import { el } from "./dom";

export function pager(first: () => string, following: (next: string) => string) {
  const start = el("a", { class: "button", hidden: true }, "First page");
  const next = el("a", { class: "button", hidden: true, rel: "next" }, "Next page");
  return {
    element: el("nav", { class: "pager", "aria-label": "Pages" }, start, next),
    /** ask asks for a page. One that isn't understood, as after a link was cut, gives way to the first. */
    async ask<T>(after: string | undefined, load: () => Promise<T>): Promise<T | undefined> {
      try {
        return await load();
      } catch (why) {
        if (!after || !(why instanceof Problem) || why.status !== 400) throw why;
        location.replace(first());
      }
    },
    show(isLater: boolean, token?: string) {
      start.hidden = !isLater;
      start.href = first();
      next.hidden = !token;
      if (token) next.href = following(token);
    },
  };
}
