/** The operator's API, as gateway/openapi.yaml describes it: what the console asks, and what comes back. */
import { key } from "./key";

export interface Pod {
  pod: string;
  /** It is the one that answers. */
  self?: true;
  since: number;
  /** How long ago it said so, in ms. */
  heard: number;
  state: "starting" | "ready" | "degraded" | "draining" | "lost" | "unknown";
  version?: string;
  connections: number;
  rooms: number;
  members: number;
  /** Since it was started, like lapses. */
  pushes: number;
  lapses: number;
  /** In ms, the worst of the last minute. */
  lateness: number;
}

export interface Rights { kick_users?: boolean; join_hub?: boolean }

export interface Member {
  id: string;
  user: string | null;
  data: unknown;
  joined_at: number;
  /** What an operator changed, and when the first of it ends. */
  changed?: Rights & { until: number };
}

export interface Revocation { id: string; user: string; room?: string; since: number; until: number }

/** Absent where the answer holds everywhere; true where Redis is out of reach. */
interface Degradable { degraded?: true }
/** A page of a list; next is the after of the page that follows. */
interface Page extends Degradable { next?: string }

export interface PodList extends Degradable { pods: Pod[] }
export interface RoomList extends Page { rooms: { room: string; count: number }[] }
export interface Room extends Page { room: string; count: number; members: Member[] }
export interface RevocationList extends Page { revocations: Revocation[] }
export interface NewRevocation extends Revocation, Degradable { exposure_until: number }
export interface ChangedRights extends Rights, Degradable { until: number }

/** What the API refuses, as RFC 9457 has it: the message is the problem's detail. */
export class Problem extends Error {
  constructor(readonly status: number, readonly code: string, detail: string) { super(detail); }
}

/** Nothing that is the API answered. */
export class OutOfReach extends Error {}

/** Longer than the gateway takes for anything, so that a proxy which is stuck is noticed. */
const patience = 10_000;

let skew = 0; // how far the gateway's clock is ahead of this browser's, in ms

/** gatewayNow is the time by the gateway's clock, which is what the API's moments are from. */
export const gatewayNow = () => Date.now() + skew;

async function ask<T>(method: string, path: string, { body, signal }: { body?: object; signal?: AbortSignal } = {}): Promise<T> {
  const headers: Record<string, string> = {};
  const held = key.get();
  if (held) headers.Authorization = `Bearer ${held}`;
  if (body) headers["Content-Type"] = "application/json";
  const limit = AbortSignal.timeout(patience);
  let response: Response, text: string;
  try {
    // A redirect would be to where a proxy has people sign in, which isn't the API.
    response = await fetch(`/v1${path}`, {
      method, headers, body: body && JSON.stringify(body), cache: "no-store", redirect: "error",
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    text = await response.text();
  } catch (why) {
    if (signal?.aborted) throw why;
    throw new OutOfReach(limit.aborted ? `no answer within ${patience / 1000} s` : "nothing answers");
  }
  let answer: { code?: string; detail?: string } | undefined;
  try { answer = text ? JSON.parse(text) : undefined; } catch { /* it isn't the API's */ }
  if (!response.ok) {
    if (typeof answer?.detail !== "string") throw new OutOfReach(`something in front answers with status ${response.status}`);
    throw new Problem(response.status, answer.code ?? "", answer.detail);
  }
  if (response.status !== 204 && !answer) throw new OutOfReach("something else than the API answers");
  const date = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds: less than a few says nothing.
  if (date) skew = Math.abs(date - Date.now()) > 5000 ? date - Date.now() : 0;
  return answer as T;
}

/** canAsk says whether a name can be asked for by a browser, which takes these for steps in a path, percent-encoded too. */
export const canAsk = (name: string) => name !== "." && name !== "..";

const segment = encodeURIComponent;
const query = (of: Record<string, string | undefined>) => {
  const given = Object.entries(of).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

export const api = {
  pods: (signal?: AbortSignal) => ask<PodList>("GET", "/pods", { signal }),
  drain: (pod: string) => ask<Degradable & { pod: string }>("POST", `/pods/${segment(pod)}/drain`),
  undrain: (pod: string) => ask<Degradable | undefined>("DELETE", `/pods/${segment(pod)}/drain`),

  rooms: (prefix: string, after: string | undefined, signal: AbortSignal) => ask<RoomList>("GET", `/rooms${query({ prefix, after })}`, { signal }),
  room: (room: string, after: string | undefined, signal: AbortSignal) => ask<Room>("GET", `/rooms/${segment(room)}${query({ after })}`, { signal }),
  kick: (room: string, member: string) => ask<undefined>("DELETE", `/rooms/${segment(room)}/members/${segment(member)}`),
  changeRights: (room: string, member: string, change: Rights & { for?: string }) =>
    ask<ChangedRights>("PATCH", `/rooms/${segment(room)}/members/${segment(member)}`, { body: change }),

  revocations: (after: string | undefined, signal: AbortSignal) => ask<RevocationList>("GET", `/revocations${query({ after })}`, { signal }),
  revoke: (what: { user: string; room?: string; for: string }) => ask<NewRevocation>("POST", "/revocations", { body: what }),
  lift: (id: string) => ask<Degradable | undefined>("DELETE", `/revocations/${segment(id)}`),
};
