/** Numbers and moments as a person reads them. */

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export const number = (n: number) => n < 10 ? tenths.format(n) : whole.format(n);

/** count is a number with its noun: 1 pod, 2 pods. */
export const count = (n: number, one: string, many = one + "s") => `${whole.format(n)} ${n === 1 ? one : many}`;

/** clock is a moment, with its day where that isn't today. */
export function clock(moment: number): string {
  const then = new Date(moment), now = new Date();
  if (then.toDateString() === now.toDateString()) return time.format(then);
  return `${(Math.abs(moment - now.getTime()) < 300 * 86_400_000 ? day : year).format(then)}, ${time.format(then)}`;
}

/** span is how long something takes, by its two largest units. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const units: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = Math.max(0, units.findIndex(([size]) => seconds >= size));
  if (seconds === 0) return "0 s";
  const [size, unit] = units[first];
  const rest = units[first + 1];
  const more = rest && first < 2 ? Math.floor(seconds % size / rest[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}` + (more ? ` ${more} ${rest[1]}` : "");
}

/** sentence has a text begin and end as a sentence does. A problem's detail doesn't. */
export function sentence(text: string): string {
  const begun = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : begun + ".";
}
