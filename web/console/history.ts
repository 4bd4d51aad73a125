/** The last five minutes, as the charts show them: nothing is stored anywhere, so they begin when the page is opened. */
import type { PodList } from "./api";

export const shown = 5 * 60_000; // ms

/** How many tokens a pod had pushed, by its own word. */
interface Report { time: number; pushes: number }

/** What one pod did at a moment. */
export interface PodSample { connections: number; pushesPerSecond?: number; lateness: number; lapses: number }

export interface Sample { at: number; pods: Map<string, PodSample> }

/** A rate is over about so long, in ms: pods tell of themselves every few seconds, and pushes come in bursts. */
const window = 12_000;

export class History {
  samples: Sample[] = [];
  latest?: PodList;
  #reports = new Map<string, { since: number; reports: Report[] }>();

  add(list: PodList, at = Date.now()): void {
    this.latest = list;
    const pods = new Map<string, PodSample>();
    for (const p of list.pods) {
      if (p.state === "unknown") continue; // its numbers are none
      // What a lost pod said last holds for its lapses only.
      pods.set(p.pod, p.state === "lost"
        ? { connections: 0, pushesPerSecond: 0, lateness: 0, lapses: p.lapses }
        : { connections: p.connections, pushesPerSecond: this.#rate(p, at), lateness: p.lateness, lapses: p.lapses });
    }
    for (const name of this.#reports.keys()) if (!pods.has(name)) this.#reports.delete(name);
    this.samples.push({ at, pods });
    while (this.samples[0].at < at - shown - 10_000) this.samples.shift();
  }

  #rate({ pod, since, heard, pushes }: PodList["pods"][number], at: number): number | undefined {
    let known = this.#reports.get(pod);
    // A pod that was started anew counts from zero.
    if (!known || known.since !== since || known.reports.at(-1)!.pushes > pushes) this.#reports.set(pod, known = { since, reports: [] });
    const { reports } = known;
    const time = at - heard;
    // The answer may repeat what the pod said before: that is no news, and no second without a push.
    if (!reports.length || time - reports.at(-1)!.time > 500) reports.push({ time, pushes });
    while (reports.length > 2 && reports[1].time <= time - window) reports.shift();
    const first = reports[0], last = reports.at(-1)!;
    return last === first ? undefined : (last.pushes - first.pushes) * 1000 / (last.time - first.time);
  }
}
