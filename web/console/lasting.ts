/** The field for how long something counts. */
import { el, type Child } from "./dom";

const lengths: [value: string, words: string][] = [
  ["15m", "15 minutes"], ["1h", "1 hour"], ["12h", "12 hours"], ["24h", "1 day"], ["168h", "7 days"], ["720h", "30 days"], ["8784h", "366 days, the most"],
];

/** howLong makes it, with one length chosen; unsaid, if given, is what it counts for when no length is said. */
export function howLong(chosen: string, unsaid?: string): Child[] {
  const options = lengths.map(([value, words]) => el("option", { value, selected: value === chosen }, words));
  if (unsaid) options.unshift(el("option", { value: "", selected: chosen === "" }, unsaid));
  const other = el("input", {
    id: "other-length", name: "other", autocomplete: "off", spellcheck: false, placeholder: "like 90m or 1h30m", pattern: "\\s*([0-9.]+(h|m|s|ms))+\\s*",
    title: "hours, minutes and seconds, like 90m or 1h30m", disabled: true, required: true, "aria-label": "How long, in hours, minutes and seconds, like 1h30m", hidden: true,
  });
  const select = el("select", {
    id: "length", name: "length", onchange: () => {
      other.hidden = other.disabled = select.value !== "other";
      if (!other.hidden) other.focus();
    },
  }, ...options, el("option", { value: "other" }, "another time…"));
  return [el("label", { for: "length" }, "For how long"), select, other];
}

/** readHowLong is what the API takes as for; undefined where it isn't said. */
export const readHowLong = (form: FormData): string | undefined =>
  String(form.get("length") === "other" ? form.get("other") : form.get("length")).trim() || undefined;
