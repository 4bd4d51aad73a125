/**
 * A room as a React hook. The components that use the same room of the same
 * gateway share one membership: it begins with the first, and ends when the last is gone.
 *
 *     const gateway = connect("wss://rooms.example.com/ws", { credential: fetchLogin });
 *
 *     function Lobby() {
 *       const { room, members, token, state, error } = useRoom(gateway, "lobby", { data: { name: "Ann" } });
 *       …
 *     }
 *
 * @module
 */
import { useCallback, useEffect, useSyncExternalStore } from "react";
import { RequestError, type Gateway, type JSONValue, type Member, type Room, type State, type Token } from "./client.js";

/** What a component sees of a room. It is another object whenever something in it has changed, and only then. */
export interface RoomView {
  /** The room, to signal and so on; undefined until you are in, and when you are out for good. */
  readonly room: Room | undefined;
  /** Everybody there, yourself included, in the order of joining. */
  readonly members: readonly Member[];
  /** The newest token. */
  readonly token: Token | undefined;
  /** The gateway's connection. */
  readonly state: State;
  /**
   * Why you aren't in: the join was refused (the protocol's code), you were removed (the reason), or the
   * connection was closed ("closed"). With "unconfirmed" you come back by yourself, and it is undefined again.
   */
  readonly error: RequestError | undefined;
}

const nothing: RoomView = { room: undefined, members: [], token: undefined, state: "connecting", error: undefined };
const asError = (why: unknown) => (why instanceof RequestError ? why : new RequestError("failed", String(why)));

/** One membership, for as many components as want it. */
class Seat {
  view: RoomView;
  #listeners = new Set<() => void>();
  #gateway: Gateway;
  #name: string;
  #data: JSONValue | undefined;
  #told: string | undefined;
  #room?: Room;
  #busy: Promise<void> | undefined; // a join or a leave is under way

  constructor(gateway: Gateway, name: string) {
    this.#gateway = gateway;
    this.#name = name;
    this.view = { ...nothing, state: gateway.state };
  }

  hold(listener: () => void, data: JSONValue | undefined): () => void {
    const first = this.#listeners.size === 0;
    this.#listeners.add(listener);
    if (first) {
      this.#gateway.addEventListener("state", this.#onState);
      if (!this.#room) this.#data = data;
      void this.#settle();
    }
    return () => {
      this.#listeners.delete(listener);
      // Effects are undone and done again when a component moves, and in StrictMode: that is no goodbye.
      setTimeout(() => {
        if (this.#listeners.size > 0) return;
        this.#gateway.removeEventListener("state", this.#onState);
        void this.#settle();
      });
    };
  }

  /** Tells the others what they see of you, if that is new. */
  tell(data: JSONValue | undefined) {
    this.#data = data;
    const text = JSON.stringify(data);
    const room = this.#room;
    if (!room || data === undefined || text === this.#told) return;
    this.#told = text;
    room.update(data).then(() => this.#of(room, { members: room.members }), () => {}); // else it stays as it was
  }

  /** Joins or leaves, one after the other, until it is as the components want it. */
  async #settle() {
    if (this.#busy) return;
    const wanted = this.#listeners.size > 0;
    if (wanted === !!this.#room) return;
    this.#busy = wanted ? this.#join() : this.#leave();
    await this.#busy;
    this.#busy = undefined;
    if (wanted !== this.#listeners.size > 0) void this.#settle();
  }

  async #join() {
    this.#show({ state: this.#gateway.state, error: undefined });
    const told = JSON.stringify(this.#data);
    try {
      const room = await this.#gateway.join(this.#name, { data: this.#data });
      this.#room = room;
      this.#told = told;
      for (const type of ["joined", "updated", "left", "gap"] as const) {
        room.addEventListener(type, () => this.#of(room, { members: room.members }));
      }
      room.addEventListener("token", () => this.#of(room, { token: room.token, error: undefined }));
      room.addEventListener("removed", ({ reason }) => {
        const error = new RequestError(reason, `you were removed from ${this.#name}: ${reason}`);
        if (reason === "unconfirmed") this.#of(room, { error });
        else if (room === this.#room) this.#out(error);
      });
      this.#show({ room, members: room.members, token: room.token, error: undefined });
      this.tell(this.#data); // which may have changed since
    } catch (why) {
      this.#show({ error: asError(why) });
    }
  }

  async #leave() {
    const room = this.#room!;
    this.#out(undefined);
    await room.leave().catch(() => {}); // out already
  }

  #out(error: RequestError | undefined) {
    this.#room = undefined;
    this.#show({ room: undefined, members: [], token: undefined, error });
  }

  #onState = ({ state, code, reason }: { state: State; code?: number; reason?: string }) => {
    this.#show({ state });
    if (state === "closed") this.#out(new RequestError("closed", `the connection is closed (${code} ${reason})`));
  };

  #of(room: Room, what: Partial<RoomView>) {
    if (room === this.#room) this.#show(what);
  }

  #show(what: Partial<RoomView>) {
    this.view = { ...this.view, ...what };
    for (const listener of this.#listeners) listener();
  }
}

const seats = new WeakMap<Gateway, Map<string, Seat>>();

function seatOf(gateway: Gateway, name: string): Seat {
  let rooms = seats.get(gateway);
  if (!rooms) seats.set(gateway, (rooms = new Map()));
  let seat = rooms.get(name);
  if (!seat) rooms.set(name, (seat = new Seat(gateway, name)));
  return seat;
}

/**
 * useRoom is in a room for as long as the component is there. Make the gateway outside of the component, or once in an
 * effect: as long as it is undefined, as where a server renders the page, the state is "connecting". When data
 * changes, the others see it.
 */
export function useRoom(gateway: Gateway | undefined, name: string, options: { data?: JSONValue } = {}): RoomView {
  const { data } = options;
  const text = JSON.stringify(data);
  // Whoever holds the seat first says what the others see; later changes come by the effect below.
  const subscribe = useCallback(
    (listener: () => void) => (gateway ? seatOf(gateway, name).hold(listener, data) : () => {}),
    [gateway, name],
  );
  const view = useSyncExternalStore(subscribe, () => (gateway ? seatOf(gateway, name).view : nothing), () => nothing);
  useEffect(() => {
    if (gateway) seatOf(gateway, name).tell(data);
  }, [gateway, name, text]);
  return view;
}
