/** Giving and taking what somebody may do in a room. */
import { api, type Member, type Rights } from "./api";
import { ask } from "./dialog";
import { el, foreign, type Child } from "./dom";
import { howLong, readHowLong } from "./lasting";
import { toldLater } from "./said";
import { clock } from "./words";

const rights: Record<keyof Rights, { may: string; mayNot: string; asks: string }> = {
  kick_users: { may: "may kick", mayNot: "may not kick", asks: "Kick others (kick_users)" },
  join_hub: { may: "may be in the hub", mayNot: "may not be in the hub", asks: "Be in the hub (join_hub)" },
};
const names = Object.keys(rights) as (keyof Rights)[];

/** inWords says what was changed: "may kick, may not be in the hub". */
export const inWords = (changed: Rights): string =>
  names.filter((name) => changed[name] !== undefined).map((name) => changed[name] ? rights[name].may : rights[name].mayNot).join(", ");

export function askRights(room: string, member: Member, person: HTMLElement, refresh: () => void): void {
  const choice = (name: keyof Rights): Child => {
    const radio = (value: string, label: string) =>
      el("label", { class: "choice" }, el("input", { type: "radio", name, value, checked: value === "" }), el("span", {}, label));
    return el("fieldset", { class: "across" }, el("legend", {}, rights[name].asks), radio("", "as it is"), radio("yes", "yes"), radio("no", "no"));
  };
  ask({
    title: ["Change the rights of ", person],
    body: [
      el("p", {}, ...member.user === null ? ["It counts for this one member, who is anonymous."]
        : ["It counts in ", foreign(room), " for all members that ", foreign(member.user), " has there, those to come too, whatever the app says."]),
      ...names.map(choice), ...howLong("", "until the session's end"),
      el("p", { class: "hint" }, "They get a token with the new rights at once. The one before is good until it runs out."),
    ],
    does: "Change", then: refresh,
    act: async (form) => {
      const change: Rights & { for?: string } = {};
      for (const name of names) if (form.get(name)) change[name] = form.get(name) === "yes";
      if (!names.some((name) => name in change)) throw new Error("choose yes or no for one of them at least");
      const lasts = readHowLong(form);
      if (lasts) change.for = lasts;
      const made = await api.changeRights(room, member.id, change);
      return { said: [person.cloneNode(true), ` ${inWords(made)}, until ${clock(made.until)}.`, toldLater(made)], warn: made.degraded };
    },
  });
}
