/**
 * One number over the last five minutes: all pods as a filled line, each pod as a thin one of its own colour and dashes. The same
 * is there as text, in the drawing's name and in a table below it.
 */
import { el, foreign, mark, say, svg } from "./dom";
import { shown, type PodSample, type Sample } from "./history";
import { clock, number } from "./words";

export interface Measure {
  title: string;
  /** What stands beside the number: "open sockets". */
  unit: string;
  /** The least that the scale goes to, so that one isn't drawn like a thousand. */
  least: number;
  of: (pod: PodSample) => number | undefined;
  /** Makes one number of those of all pods. */
  all: (ofPods: number[]) => number;
  /** What the line over all pods is called. */
  allName: string;
  /** From this on the number isn't well. */
  badFrom?: number;
}

const wide = 300, high = 100; // of the drawing's own units; the style sheet stretches it
const gap = 10_000; // ms without a sample, over which no line is drawn: nobody looked

interface Point { at: number; value?: number }

export class Chart {
  readonly element: HTMLElement;
  #measure: Measure;
  #value = el("b", {}, "–");
  #unit = el("span");
  #top = el("span", { class: "top", "aria-hidden": true });
  #left = el("span", { class: "left", "aria-hidden": true });
  #right = el("span", { class: "right", "aria-hidden": true });
  #area = svg("path", { class: "area" });
  #lines = svg("g");
  #total = svg("path", { class: "total" });
  #pointer = svg("path", { class: "pointer", "vector-effect": "non-scaling-stroke" });
  #drawing: SVGSVGElement;
  #details: HTMLDetailsElement;
  #rows = el("tbody");
  #samples: Sample[] = [];
  #end = 0; // the moment at the right edge
  #pods: string[] = [];
  #live = true;
  #pointed?: number;

  /** pointed is told which moment somebody points at, so that all charts can show it; undefined: none. */
  constructor(measure: Measure, pointed: (moment?: number) => void) {
    this.#measure = measure;
    const grid = svg("path", { class: "grid", d: `M0 1H${wide}M0 ${high / 2}H${wide}M0 ${high - 1}H${wide}`, "vector-effect": "non-scaling-stroke" });
    this.#drawing = svg("svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", role: "img", class: "drawing" },
      grid, this.#area, this.#lines, this.#total, this.#pointer);
    this.#drawing.addEventListener("pointermove", ({ offsetX }) => {
      const from = this.#end - shown;
      pointed(from + offsetX / this.#drawing.clientWidth * shown);
    });
    this.#drawing.addEventListener("pointerleave", () => pointed());
    const head = el("tr", {}, ...["", "now", "lowest", "highest"].map((name) => name ? el("th", { scope: "col" }, name) : el("td")));
    this.#details = el("details", { ontoggle: () => this.#fillTable() },
      el("summary", {}, el("span", { class: "hidden" }, `${measure.title} `), "as a table"),
      el("table", {}, el("caption", { class: "hidden" }, `${measure.title} in the last 5 minutes`), el("thead", {}, head), this.#rows));
    this.element = el("div", { class: "card chart" },
      el("h3", {}, measure.title), el("p", { class: "value" }, this.#value, " ", this.#unit),
      el("div", { class: "plot" }, this.#top, this.#drawing, this.#left, this.#right), this.#details);
  }

  /** show draws. pods are those that have a line, in the order of their colours; live says whether the newest sample is of now. */
  show(samples: Sample[], pods: string[], live: boolean): void {
    this.#samples = samples;
    this.#pods = pods;
    this.#live = live;
    this.#end = samples.at(-1)?.at ?? Date.now();
    const total = this.#points();
    const ofPods = pods.length > 1 ? pods.map((pod) => this.#points(pod)) : [];
    const most = Math.max(this.#measure.least, ...[total, ...ofPods].flat().map(({ value }) => value ?? 0));
    const scale = nice(most);
    const line = (points: Point[]) => this.#runs(points).map((run) => `M${run.map(([x, y]) => `${x} ${y}`).join("L")}`);
    const y = (value: number) => round(high - 1 - value / scale * (high - 2));
    const place = (points: Point[]) => points.map((p) => ({ ...p, value: p.value === undefined ? undefined : y(p.value) }));

    mark(this.#total, "d", line(place(total)).join(""));
    mark(this.#area, "d", this.#runs(place(total)).map((run) =>
      `M${run[0][0]} ${high}L${run.map(([x, y]) => `${x} ${y}`).join("L")}L${run.at(-1)![0]} ${high}Z`).join(""));
    this.#lines.replaceChildren(...ofPods.map((points, i) =>
      svg("path", { class: `pod pod-${i}`, d: line(place(points)).join(""), "vector-effect": "non-scaling-stroke" })));
    mark(this.#total, "vector-effect", "non-scaling-stroke");
    say(this.#top, number(scale));
    const { now, low, high: peak } = extent(total);
    const bad = this.#measure.badFrom !== undefined && (now ?? 0) >= this.#measure.badFrom;
    mark(this.element, "data-bad", bad ? "" : undefined);
    mark(this.#drawing, "aria-label", now === undefined ? `${this.#measure.title}: nothing is known yet`
      : `${this.#measure.title}, ${live ? "now" : `at ${clock(this.#end)}`} ${number(now)} ${this.#measure.unit}; in the last 5 minutes from ${number(low!)} to ${number(peak!)}`);
    this.#fillTable();
    this.point(this.#pointed);
  }

  /** point shows a moment in place of the newest; undefined: the newest again. */
  point(moment?: number): void {
    this.#pointed = moment;
    let points = this.#points();
    if (moment !== undefined) points = points.filter(({ at }) => Math.abs(at - moment) < gap);
    const point = moment === undefined ? points.at(-1) : points.reduce<Point | undefined>(
      (best, p) => !best || Math.abs(p.at - moment) < Math.abs(best.at - moment) ? p : best, undefined);
    say(this.#value, point?.value === undefined ? "–" : number(point.value));
    say(this.#unit, moment !== undefined && point ? `at ${clock(point.at)}` : this.#measure.unit);
    const x = moment !== undefined && point ? this.#x(point.at) : undefined;
    mark(this.#pointer, "d", x === undefined ? undefined : `M${x} 0V${high}`);
    say(this.#left, "5 min ago");
    say(this.#right, this.#live ? "now" : clock(this.#end));
  }

  #x(at: number): number { return round(wide - (this.#end - at) * wide / shown); }

  #points(pod?: string): Point[] {
    const { of, all } = this.#measure;
    return this.#samples.filter(({ at }) => at >= this.#end - shown).map(({ at, pods }) => {
      if (pod !== undefined) {
        const is = pods.get(pod);
        return { at, value: is && of(is) };
      }
      const known = [...pods.values()].map(of).filter((value) => value !== undefined);
      return { at, value: known.length ? all(known) : undefined };
    });
  }

  /** runs are the stretches that a line goes through without a break, in the drawing's units. */
  #runs(points: Point[]): [x: number, y: number][][] {
    const runs: [number, number][][] = [];
    let last: number | undefined;
    for (const { at, value } of points) {
      if (value === undefined) { last = undefined; continue; }
      if (last === undefined || at - last > gap) runs.push([]);
      runs.at(-1)!.push([this.#x(at), value]);
      last = at;
    }
    return runs;
  }

  #fillTable(): void {
    if (!this.#details.open) return;
    const row = (name: string | HTMLElement, points: Point[]) => {
      const { now, low, high } = extent(points);
      return el("tr", {}, el("th", { scope: "row" }, name), ...[now, low, high].map((n) => el("td", { class: "number" }, n === undefined ? "–" : number(n))));
    };
    const pods = this.#pods.length > 1 ? this.#pods.map((pod) => row(foreign(pod), this.#points(pod))) : [];
    this.#rows.replaceChildren(row(this.#measure.allName, this.#points()), ...pods);
  }
}

function extent(points: Point[]): { now?: number; low?: number; high?: number } {
  const known = points.map(({ value }) => value).filter((value) => value !== undefined);
  if (!known.length) return {};
  return { now: points.at(-1)!.value, low: Math.min(...known), high: Math.max(...known) };
}

/** nice is the scale's top: one, two or five times a power of ten. */
function nice(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= most - 1e-9)!;
}

const round = (n: number) => Math.round(n * 10) / 10;
