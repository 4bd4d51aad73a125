/** What people tell each other over the data channel: which pod they are on, and how long their newest token is good for. */
import { leftOf, type Life } from "./ring";

export interface News { pod: string; life?: Life }

export const write = ({ pod, life }: News) => JSON.stringify({ pod, token: life && { left: leftOf(life), whole: life.whole } });

/** Reads what somebody said; undefined where it is something else. */
export function read(text: string): News | undefined {
  try {
    const { pod, token } = JSON.parse(text) as { pod?: unknown; token?: { left?: unknown; whole?: unknown } };
    if (typeof pod !== "string") return;
    const { left, whole } = token ?? {};
    return { pod, life: typeof left === "number" && typeof whole === "number" && whole > 0 ? { until: performance.now() + left, whole } : undefined };
  } catch {
    return;
  }
}
