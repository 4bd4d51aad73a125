/** The rooms with somebody in them, by name. */
import { api, type RoomList } from "./api";
import { el, mark, say, sayForeign } from "./dom";
import { pager } from "./pager";
import { hashOf, type Route } from "./route";
import { Table, text } from "./table";
import type { View } from "./view";
import { number } from "./words";

/** While somebody types, the list is asked for after each pause of so many ms. */
const typing = 250;

export function roomsView(route: Route, refresh: () => void): View {
  let prefix = route.query.get("prefix") ?? "";
  let after = route.query.get("after") ?? undefined;
  const table = new Table<RoomList["rooms"][number]>("Rooms", [
    {
      title: "Room", kind: "wide", cell: (cell, { room }) => {
        const link = el("a", { href: hashOf(["rooms", room]) });
        const name = el("bdi", { class: "foreign" });
        sayForeign(name, room);
        link.append(name);
        cell.append(link);
      },
    },
    text("Members", ({ count }) => number(count), "number"),
  ], ({ room }) => room, ["Nobody is in a room whose name begins so."]);
  const pages = pager(() => hashOf(["rooms"], { prefix }), (next) => hashOf(["rooms"], { prefix, after: next }));

  let wait: number | undefined;
  const search = el("input", {
    id: "prefix", type: "search", autocomplete: "off", spellcheck: false, value: prefix, oninput: () => {
      clearTimeout(wait);
      wait = setTimeout(() => {
        if (!search.isConnected) return;
        prefix = search.value;
        after = undefined;
        // Each letter is no step to go back by.
        history.replaceState(null, "", hashOf(["rooms"], { prefix }));
        refresh();
      }, typing);
    },
  });
  const found = el("p", { class: "hint" });

  return {
    title: "Rooms",
    element: el("div", {},
      el("div", { class: "title" }, el("h1", { tabindex: -1 }, "Rooms"),
        el("form", { role: "search", class: "search", onsubmit: (event) => event.preventDefault() },
          el("label", { for: "prefix" }, "Name begins with"), search)),
      el("div", { class: "card" }, table.element), el("div", { class: "foot" }, found, pages.element)),
    async load(signal) {
      const list = await pages.ask(after, () => api.rooms(prefix, after, signal));
      if (!list) return;
      table.show(list.rooms);
      mark(table.element, "data-ready", "");
      pages.show(Boolean(after), list.next);
      const people = list.rooms.reduce((n, { count }) => n + count, 0);
      say(found, list.rooms.length ? `${number(list.rooms.length)} rooms on this page, with ${number(people)} members` : "");
      return list;
    },
  };
}
