/** One room: who is in it, live, and what an operator can do about them. */
import { api, canAsk, gatewayNow, Problem, type Member } from "./api";
import { ask } from "./dialog";
import { el, foreign, mark, say, sayForeign, type Child } from "./dom";
import { pager } from "./pager";
import { askRevoke } from "./revoke";
import { askRights, inWords } from "./rights";
import { hashOf, type Route } from "./route";
import { acts } from "./scope";
import { Table } from "./table";
import type { View } from "./view";
import { clock, count, span } from "./words";

/** nameOf is what a member wants to be called, by the field that the client's presence data usually has. */
function nameOf({ data }: Member): string {
  const name = (data as { name?: unknown } | null)?.name;
  return typeof name === "string" ? name.trim() : "";
}

/** person is how a member is called in a question about them. */
const person = (member: Member): HTMLElement => foreign(nameOf(member) || member.user || "somebody anonymous");

export function roomView(route: Route, refresh: () => void): View {
  const room = route.path[1];
  const after = route.query.get("after") ?? undefined;
  const table = memberTable(room, refresh);
  const pages = pager(() => hashOf(["rooms", room]), (next) => hashOf(["rooms", room], { after: next }));
  const many = el("p", { class: "hint" });
  return {
    title: room,
    element: el("div", {},
      el("nav", { class: "trail", "aria-label": "Where this is" }, el("a", { href: "#/rooms" }, "Rooms")),
      el("div", { class: "title" }, el("h1", { tabindex: -1 }, foreign(room)), many),
      el("div", { class: "card" }, table.element), el("div", { class: "foot" }, pages.element)),
    async load(signal) {
      if (!canAsk(room)) {
        say(many, "A browser can't ask for a room of this name, since it takes it for a step in a path. Ask by curl.");
        return;
      }
      try {
        const is = await pages.ask(after, () => api.room(room, after, signal));
        if (!is) return;
        table.show(is.members);
        pages.show(Boolean(after), is.next);
        say(many, count(is.count, "member"));
        return is;
      } catch (why) {
        if (!(why instanceof Problem) || why.status !== 404 && why.status !== 400) throw why;
        table.show([]);
        pages.show(Boolean(after));
        say(many, why.status === 404 ? "nobody" : why.message);
      } finally {
        mark(table.element, "data-ready", "");
      }
    },
  };
}

function memberTable(room: string, refresh: () => void): Table<Member> {
  return new Table<Member>("Members", [
    {
      title: "Name", kind: "wide", cell: (cell) => {
        const name = foreign("");
        cell.append(name);
        return (m) => {
          sayForeign(name, nameOf(m) || "–");
          // Whatever else a client tells of itself may help to find out who it is.
          mark(name, "title", m.data == null ? "says nothing of itself" : JSON.stringify(m.data));
        };
      },
    },
    {
      title: "User", kind: "wide", cell: (cell, { user }) => {
        cell.append(user === null ? el("span", { class: "hint" }, "anonymous") : foreign(user));
      },
    },
    { title: "Member", kind: "id", cell: (cell, { id }) => { cell.append(foreign(id)); } },
    {
      title: "Joined", cell: (cell, { joined_at }) => {
        const time = el("time", { datetime: new Date(joined_at).toISOString(), title: clock(joined_at) });
        cell.append(time);
        return () => say(time, `${span(gatewayNow() - joined_at)} ago`);
      },
    },
    {
      title: "Changed rights", kind: "changed", cell: (cell) => ({ changed }) => {
        say(cell, changed ? `${inWords(changed)}, until ${clock(changed.until)}` : "–");
      },
    },
    {
      title: "Actions", kind: "actions", cell: (cell, member) => {
        const who = nameOf(member) || member.user || member.id;
        cell.append(
          acts("Rights", `of ${who}`, () => askRights(room, member, person(member), refresh)),
          acts("Kick", who, () => askKick(room, member, refresh)));
        // There is no name by which somebody anonymous could be kept out.
        const { user } = member;
        if (user !== null) cell.append(acts("Revoke", who, () => askRevoke({ user, room }, refresh)));
        return (is) => { member = is; };
      },
    },
  ], ({ id }) => id, ["Nobody is in this room."]);
}

function askKick(room: string, member: Member, refresh: () => void): void {
  const who = (): Child => person(member);
  ask({
    title: ["Kick ", who(), "?"],
    body: [
      el("p", {}, "They are out of ", foreign(room), " at once, and may come in again. To keep them out, revoke."),
      el("p", { class: "hint" }, "The token that they hold is good until it runs out, and the media server isn't told."),
    ],
    does: "Kick", danger: true, then: refresh,
    act: async () => {
      await api.kick(room, member.id);
      return { said: [who(), " was kicked from ", foreign(room), "."] };
    },
  });
}
