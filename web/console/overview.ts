/** The first thing one sees: the promise, the last five minutes, and the pods. */
import { Chart, type Measure } from "./chart";
import { el, foreign, svg } from "./dom";
import type { History } from "./history";
import { podTable } from "./pods";
import type { Reach } from "./poll";
import { Promised } from "./promise";
import type { View } from "./view";

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
const most = (numbers: number[]) => Math.max(...numbers);

const measures: Measure[] = [
  { title: "Connections", unit: "open sockets", least: 5, of: (p) => p.connections, all: sum, allName: "all pods" },
  { title: "Pushes", unit: "tokens a second", least: 1, of: (p) => p.pushesPerSecond, all: sum, allName: "all pods" },
  { title: "Lateness", unit: "ms, the worst of a minute", least: 10, of: (p) => p.lateness, all: most, allName: "the worst pod", badFrom: 5000 },
  { title: "Lapses", unit: "since the pods started", least: 1, of: (p) => p.lapses, all: sum, allName: "all pods", badFrom: 1 },
];

/** More lines than this can't be told apart; the table has the others. */
const mostLines = 6;

export function overview(refresh: () => void): View {
  const promise = new Promised();
  const charts: Chart[] = measures.map((measure) => new Chart(measure, (moment) => { for (const chart of charts) chart.point(moment); }));
  const legend = el("p", { class: "legend hint" });
  const pods = podTable(refresh);
  let named = "";

  const showLegend = (lines: string[], others: number) => {
    if (named === (named = JSON.stringify([lines, others]))) return;
    const entry = (kind: string, name: string | HTMLElement) => el("span", {},
      svg("svg", { viewBox: "0 0 24 8", width: 24, height: 8, "aria-hidden": true }, svg("path", { class: kind, d: "M0 4H24" })), name);
    legend.hidden = lines.length < 2;
    legend.replaceChildren(entry("total", "all"), ...lines.map((pod, i) => entry(`pod pod-${i}`, foreign(pod))),
      ...others ? [`and ${others} more, in the table`] : []);
  };

  return {
    title: "Overview",
    element: el("div", { class: "overview" },
      el("h1", { tabindex: -1, class: "hidden" }, "Overview"), promise.element,
      el("section", { "aria-labelledby": "lately" },
        el("div", { class: "title" }, el("h2", { id: "lately" }, "The last five minutes"), legend),
        el("div", { class: "charts" }, ...charts.map(({ element }) => element))),
      el("section", { "aria-labelledby": "pods" }, el("h2", { id: "pods" }, "Pods"), el("div", { class: "card" }, pods.element))),
    show(history: History, reach: Reach) {
      promise.show(history, reach);
      if (!history.latest) return;
      const names = history.latest.pods.map(({ pod }) => pod);
      const lines = names.slice(0, mostLines);
      showLegend(lines, names.length - lines.length);
      for (const chart of charts) chart.show(history.samples, lines, reach.state !== "lost");
      pods.show(history.latest.pods);
    },
  };
}
