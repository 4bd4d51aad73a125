/** The pods as a table, and draining one. */
import { api, gatewayNow, type Pod } from "./api";
import { ask } from "./dialog";
import { el, foreign, mark, say, sayForeign } from "./dom";
import { toldLater } from "./said";
import { acts } from "./scope";
import { Table, text } from "./table";
import { count, number, span } from "./words";

/** What each state means, for those who don't have docs/operating.md at hand. */
const meaning: Record<Pod["state"], string> = {
  starting: "takes no clients yet",
  ready: "takes clients",
  degraded: "Redis is out of its reach",
  draining: "gives its clients away, and takes none",
  lost: "wasn't heard of for so long that it is dead or cut off",
  unknown: "says nothing of itself that is understood here: it is of another version",
};

/** A pod's numbers are as old as its last word; beyond this many ms, that is worth being seen. */
const longUnheard = 15_000;

export function podTable(refresh: () => void): Table<Pod> {
  const numeric = (title: string, of: (p: Pod) => number, unit = "") =>
    text<Pod>(title, (p) => p.state === "unknown" ? "–" : number(of(p)) + unit, "number");
  return new Table<Pod>("Pods", [
    {
      title: "Pod", cell: (cell, pod) => {
        const self = el("span", { class: "tag", title: "This page comes from it, and it answers what is asked here" }, "asked");
        cell.append(foreign(pod.pod), self);
        return ({ self: is }) => { self.hidden = !is; };
      },
    },
    {
      title: "State", cell: (cell) => {
        const state = el("span", { class: "state" });
        cell.append(state);
        return (pod) => { say(state, pod.state); mark(state, "data-state", pod.state); mark(state, "title", meaning[pod.state]); };
      },
    },
    numeric("Connections", (p) => p.connections),
    numeric("Rooms", (p) => p.rooms),
    numeric("Members", (p) => p.members),
    numeric("Lateness", (p) => p.lateness, " ms"),
    {
      title: "Lapses", kind: "number", cell: (cell) => (pod) => {
        say(cell, pod.state === "unknown" ? "–" : number(pod.lapses));
        mark(cell, "data-bad", pod.lapses > 0 ? "" : undefined);
      },
    },
    text("Up", (p) => p.since > 0 ? span(gatewayNow() - p.since) : "–", "number"),
    {
      title: "Heard", kind: "number", cell: (cell) => (pod) => {
        say(cell, pod.self ? "just now" : `${span(pod.heard)} ago`);
        mark(cell, "data-warn", pod.heard > longUnheard ? "" : undefined);
      },
    },
    {
      title: "Version", kind: "version", cell: (cell) => {
        const version = foreign("");
        cell.append(version);
        return (pod) => sayForeign(version, pod.version ?? "–");
      },
    },
    {
      title: "Action", kind: "actions", cell: (cell, pod) => {
        const drain = acts("Drain", pod.pod, () => askDrain(pod, refresh));
        const undo = acts("Undo drain", pod.pod, () => askUndrain(pod.pod, refresh));
        cell.append(drain, undo);
        return (is) => {
          pod = is;
          const draining = is.state === "draining";
          // The focus stays where it is when the one takes the other's place.
          const had = document.activeElement === (draining ? drain : undo);
          drain.hidden = draining || is.state === "lost";
          undo.hidden = !draining;
          if (had) (draining ? undo : drain).focus();
        };
      },
    },
  ], (p) => p.pod, ["No pod is there."]);
}

function askDrain(pod: Pod, refresh: () => void): void {
  ask({
    title: ["Drain ", foreign(pod.pod), "?"],
    body: [el("p", {},
      `It takes no more clients, and those it has (${count(pod.connections, "connection")} now) move to the other pods, spread over `,
      "the time that --drain gives. Who is left then has the socket closed, and comes back elsewhere. The process goes on: end it, or undo this.")],
    does: "Drain", danger: true, then: refresh,
    act: async () => {
      const answer = await api.drain(pod.pod);
      return { said: [foreign(pod.pod), " is draining.", toldLater(answer)], warn: answer.degraded };
    },
  });
}

function askUndrain(pod: string, refresh: () => void): void {
  ask({
    title: ["Have ", foreign(pod), " take clients again?"],
    body: [el("p", {}, "It is ready again at once. Clients that have moved away stay where they are.")],
    does: "Undo drain", then: refresh,
    act: async () => {
      const answer = await api.undrain(pod);
      return { said: [foreign(pod), " takes clients again.", toldLater(answer)], warn: answer?.degraded };
    },
  });
}
