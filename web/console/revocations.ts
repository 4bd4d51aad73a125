/** Who is kept out, and letting them in again. */
import { api, gatewayNow, type Revocation } from "./api";
import { ask } from "./dialog";
import { el, foreign, mark, say } from "./dom";
import { pager } from "./pager";
import { askRevoke } from "./revoke";
import { hashOf, type Route } from "./route";
import { toldLater } from "./said";
import { acts } from "./scope";
import { Table } from "./table";
import type { View } from "./view";
import { clock, span } from "./words";

export function revocationsView(route: Route, refresh: () => void): View {
  const after = route.query.get("after") ?? undefined;
  const moment = (of: (r: Revocation) => number, words: (r: Revocation) => string, title: string) => ({
    title, cell: (cell: HTMLElement, r: Revocation) => {
      const time = el("time", { datetime: new Date(of(r)).toISOString(), title: clock(of(r)) });
      cell.append(time);
      return (r: Revocation) => say(time, words(r));
    },
  });
  const table = new Table<Revocation>("Revocations", [
    { title: "User", kind: "wide", cell: (cell, { user }) => { cell.append(foreign(user)); } },
    {
      title: "Room", kind: "wide", cell: (cell, { room }) => {
        cell.append(room === undefined ? "every room" : foreign(room));
      },
    },
    moment((r) => r.since, (r) => `${span(gatewayNow() - r.since)} ago`, "Since"),
    moment((r) => r.until, (r) => `${clock(r.until)}, in ${span(r.until - gatewayNow())}`, "Until"),
    { title: "Action", kind: "actions", cell: (cell, r) => { cell.append(acts("Lift", `of ${r.user}`, () => askLift(r, refresh))); } },
  // Another revocation of the same user and room has its id, and other moments.
  ], ({ id, since, until }) => `${id} ${since} ${until}`, ["Nobody is kept out."]);
  const pages = pager(() => hashOf(["revocations"]), (next) => hashOf(["revocations"], { after: next }));
  return {
    title: "Revocations",
    element: el("div", {},
      el("div", { class: "title" }, el("h1", { tabindex: -1 }, "Revocations"), acts("Revoke a user…", "", () => askRevoke({}, refresh))),
      el("div", { class: "card" }, table.element), el("div", { class: "foot" }, pages.element)),
    async load(signal) {
      const list = await pages.ask(after, () => api.revocations(after, signal));
      if (!list) return;
      table.show(list.revocations);
      mark(table.element, "data-ready", "");
      pages.show(Boolean(after), list.next);
    },
  };
}

function askLift({ id, user, room }: Revocation, refresh: () => void): void {
  ask({
    title: ["Let ", foreign(user), " in again?"],
    body: [el("p", {}, "They may come into ", room === undefined ? "every room" : foreign(room), " again, as far as the app lets them.")],
    does: "Lift", then: refresh,
    act: async () => {
      const answer = await api.lift(id);
      return { said: [foreign(user), " may come in again.", toldLater(answer)], warn: answer?.degraded };
    },
  });
}
