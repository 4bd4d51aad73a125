/** Putting somebody out, and keeping them out. */
import { api, gatewayNow } from "./api";
import { ask } from "./dialog";
import { el, foreign, type Child } from "./dom";
import { howLong, readHowLong } from "./lasting";
import { toldLater } from "./said";
import { clock, span } from "./words";

/** askRevoke asks about a user where there is one, or asks for one; with a room it may be about that alone. */
export function askRevoke({ user, room }: { user?: string; room?: string }, refresh: () => void): void {
  const whom: Child[] = user === undefined ? [
    el("label", { for: "user" }, "User, as the app names them"),
    el("input", { id: "user", name: "user", required: true, autocomplete: "off", spellcheck: false, maxlength: 256 }),
  ] : [];
  const radio = (value: string, checked: boolean, ...label: Child[]) =>
    el("label", { class: "choice" }, el("input", { type: "radio", name: "where", value, checked }), el("span", {}, ...label));
  const where: Child[] = room === undefined ? [
    el("label", { for: "room" }, "Room"),
    el("input", { id: "room", name: "room", autocomplete: "off", spellcheck: false, "aria-describedby": "every-room" }),
    el("p", { id: "every-room", class: "hint" }, "Left empty, it is about every room."),
  ] : [
    el("fieldset", {}, el("legend", {}, "Where"), radio("here", true, "this room, ", foreign(room)), radio("everywhere", false, "every room")),
  ];
  ask({
    title: user === undefined ? ["Revoke a user"] : ["Revoke ", foreign(user), "?"],
    body: [
      el("p", {}, "They are put out at once, on every pod, and don't get in again until the time is over, whatever the app says."),
      ...whom, ...where, ...howLong("12h"),
    ],
    does: "Revoke", danger: true, then: refresh,
    act: async (form) => {
      const about = room === undefined ? String(form.get("room")) : form.get("where") === "here" ? room : "";
      const made = await api.revoke({ user: user ?? String(form.get("user")), ...about && { room: about }, for: readHowLong(form) ?? "" });
      const place: Child[] = made.room === undefined ? ["every room"] : [foreign(made.room)];
      return {
        said: [foreign(made.user), " is out of ", ...place, ` until ${clock(made.until)}.`, toldLater(made)],
        warn: made.degraded,
        toKnow: {
          title: [foreign(made.user), " is revoked"],
          body: [
            el("p", {}, foreign(made.user), " is out of ", ...place.map((p) => p instanceof Node ? p.cloneNode(true) : p), ", and kept out until ", el("b", {}, clock(made.until)), "."),
            el("p", { class: "note" }, "A token that they were given may open the media server until ", el("b", { id: "exposure" }, clock(made.exposure_until)),
              `, for ${span(made.exposure_until - gatewayNow())} more. Nobody tells the media server: if that is too long, put them out there too.`),
            ...made.degraded ? [el("p", { class: "note" }, toldLater(made))] : [],
          ],
        },
      };
    },
  });
}
