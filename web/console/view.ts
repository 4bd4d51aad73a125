/** What stands between the header and the foot: one at a time, by the address. */
import type { History } from "./history";
import type { Reach } from "./poll";

export interface View {
  /** What the page's title says. */
  title: string;
  /** Begins with an h1 that can have the focus. */
  element: HTMLElement;
  /** Asks what it shows besides the pods, and shows it. It may throw. Returns whether the answer was one pod's alone. */
  load?(signal: AbortSignal): Promise<{ degraded?: true } | void>;
  /** Shows the pods, and what became of them. */
  show?(history: History, reach: Reach): void;
}
