/**
 * The browser's side of roompass: one socket, the rooms that you are in, and in
 * each of them a token that is always fresh. Nothing here looks at a token's
 * expiry: the gateway pushes the next one in time, and a socket that was lost
 * brings a new one when it is back.
 *
 *     const gateway = connect("wss://rooms.example.com/ws", { credential: () => fetchLogin() });
 *     const room = await gateway.join("my-room", { data: { name: "Ann" } });
 *     room.addEventListener("token", ({ token }) => adapter.setJoinToken(token));
 *     room.members;                 // always current
 *     room.signal(memberId, offer);
 *
 * @module
 */

import { emit, quiet, type Emitter, type Wire } from "./events.js";
import { Room } from "./room.js";
import { RequestError, type GatewayEventMap, type JSONValue, type State } from "./types.js";

export { RequestError, Room };
export type { GatewayEventMap, JSONValue, Member, RoomEventMap, State, Token } from "./types.js";

/**
 * A credential, or what fetches one. A function is asked anew for every socket, and on an open one long before the
 * session ends, so that it goes on: give one wherever somebody may stay for hours. If it throws it is asked again later.
 */
export type Credential = string | undefined | (() => string | undefined | Promise<string | undefined>);

export interface ConnectOptions {
  credential?: Credential;
  /** The WebSocket class, where there is no global one (Node before 22). */
  WebSocket?: typeof WebSocket;
}

interface Request { message: Wire; resolve: (reply: Wire) => void; reject: (why: RequestError) => void; socket?: WebSocket }

const outboxLimit = 256;
const never = new Set([1000, 1009, 4400, 4403, 4409]);

/** connect opens a gateway's socket and keeps it open until you close it. */
export function connect(url: string | URL, options: ConnectOptions = {}): Gateway {
  return new Gateway(url, options);
}

/** One connection to a gateway, whatever sockets it takes. */
export class Gateway extends (EventTarget as { new (): Emitter<GatewayEventMap> & EventTarget }) {
  #url: string | URL;
  #options: ConnectOptions;
  #state: State = "connecting";
  #user: string | null = null;
  #pod = "";
  #session = "";
  #secret = "";
  #rooms = new Map<string, Room>();
  #current?: WebSocket; // welcomed: messages go here
  #next?: WebSocket; // on its way to be
  #opening = false;
  #asked = false; // for the session, on a socket that has brought no welcome yet
  #held?: Wire[]; // what the old socket brought after the new one had asked for it too
  #outbox: Request[] = [];
  #pending = new Map<number, Request>();
  #id = 0;
  #attempts = 0;
  #refusals = 0;
  #retry?: ReturnType<typeof setTimeout>;
  #pacer?: ReturnType<typeof setTimeout>;
  #prover?: ReturnType<typeof setTimeout>;
  #heard = Infinity; // when the newest message came: by Date.now(), which goes on in sleep, as all of these
  #due = Infinity; // when to prove anew who you are
  #ends = Infinity; // when the session does
  #rate = 24;
  #burst = 48;
  #budget = 48;
  #counted = 0;

  /** Use {@link connect}. */
  constructor(url: string | URL, options: ConnectOptions) {
    super();
    this.#url = url;
    this.#options = options;
    // Back from sleep, offline or the back-forward cache: don't wait for a
    // timer that was asleep too, and don't trust the old socket.
    globalThis.addEventListener?.("online", this.#distrust);
    globalThis.addEventListener?.("pageshow", this.#wake);
    globalThis.addEventListener?.("pagehide", this.#gone);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    void this.#open();
  }

  get state(): State { return this.#state; }
  /** Who the gateway says you are; null for an anonymous person. */
  get user(): string | null { return this.#user; }
  /** The name of the pod that the newest socket is on, for people to look at. */
  get pod(): string { return this.#pod; }

  /** join enters a room. It rejects with a {@link RequestError}. */
  async join(name: string, options: { data?: JSONValue } = {}): Promise<Room> {
    const known = this.#rooms.get(name);
    if (known) throw new RequestError("already_joined", `you are in ${name} already`);
    const room = new Room(name, options.data, (message) => this.#request({ ...message, room: name }), (forGood) => {
      if (!forGood) this.#again(room);
      else if (this.#rooms.get(name) === room) this.#rooms.delete(name);
    });
    this.#rooms.set(name, room);
    try {
      await this.#join(room);
    } catch (why) {
      this.#rooms.delete(name);
      throw why;
    }
    return room;
  }

  /** close says goodbye: you leave all rooms. */
  close(): void {
    this.#end(1000, "closed by the page");
    for (const socket of [this.#current, this.#next]) socket?.close(1000);
  }

  /** drop cuts the socket without a goodbye, as a bad network does. For trying out what happens then: nothing. */
  drop(): void {
    this.#current?.close(4000, "dropped on purpose");
  }

  #join(room: Room, first = false): Promise<void> {
    return this.#request({ type: "join", room: room.name, data: room._data }, first).then((reply) => room._begin(reply));
  }

  /** Joins a room anew that you were in, before anything that waits to be said there. */
  #rejoin(room: Room) {
    this.#join(room, true).catch(({ code }: RequestError) => {
      if (this.#rooms.get(room.name) !== room) return;
      if (code === "not_allowed") {
        room._receive({ type: "removed", reason: code });
      } else {
        room._out = true;
        this.#again(room);
      }
    });
  }

  /** Joins a room again, and again, that can't be had just now: mostly since the app couldn't be asked. */
  #again(room: Room) {
    setTimeout(() => {
      if (!room._out || this.#rooms.get(room.name) !== room) return;
      if (this.#state === "connected") this.#rejoin(room);
      else this.#again(room);
    }, 5000 + Math.random() * 10_000);
  }

  #become(state: State, detail: object = {}) {
    if (state === this.#state) return;
    this.#state = state;
    emit(this, "state", { state, ...detail });
  }

  #wake = (event: Event) => {
    if ((event as PageTransitionEvent).persisted) return this.#move(); // a page that is kept has its sockets cut
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.#retry !== undefined) void this.#open();
    else if (this.#silent()) this.#distrust();
    else if (Date.now() >= this.#due) void this.#prove();
  };

  /** Nothing came for as long as a token lives, though the next one comes sooner: the socket is dead, and doesn't know. */
  #silent() {
    for (const { token } of this.#rooms.values()) if (token && Date.now() - this.#heard > token.expiresIn) return true;
  }

  /** The page is left for good, so nobody will resume: don't keep the others waiting for it. */
  #gone = (event: Event) => {
    if (!(event as PageTransitionEvent).persisted) this.close();
  };

  /** Trusts neither the socket that there is, nor one that began to be opened on a network of before. */
  #distrust = () => {
    const stuck = this.#next;
    if (stuck?.readyState === 0) {
      this.#next = undefined;
      stuck.close();
    }
    this.#move();
  };

  /** Opens the next socket first, and resumes on it; the old one is closed by the gateway then. */
  #move = () => {
    if (this.#state !== "closed" && !this.#next) void this.#open();
  };

  /** The session lasts so long from now. Others began when you did: not all of them ask the app at the same moment. */
  #lasts(milliseconds: number) {
    this.#ends = Date.now() + milliseconds;
    this.#remind(milliseconds * (0.5 + Math.random() / 4));
  }

  #remind(wait: number) {
    clearTimeout(this.#prover);
    if (typeof this.#options.credential !== "function" || !(wait > 100)) return;
    this.#due = Date.now() + wait;
    this.#prover = setTimeout(() => void this.#prove(), Math.min(wait, 2 ** 31 - 1));
  }

  /** Proves anew who you are. Where that fails until the session ends, the close with 4401 is the last reminder. */
  async #prove() {
    clearTimeout(this.#prover);
    this.#due = Infinity;
    const socket = this.#current;
    if (!socket) return; // the next one brings a credential
    try {
      const credential = await (this.#options.credential as () => unknown)();
      if (socket !== this.#current) return;
      if (!credential) return this.#move(); // a cookie proves nothing on an open socket
      const { secret, session_expires_in } = await this.#request({ type: "auth", credential }, true);
      if (socket !== this.#current) return;
      this.#secret = secret;
      this.#lasts(session_expires_in);
    } catch {
      if (socket === this.#current) this.#remind(Math.min(60_000, (this.#ends - Date.now()) / 4) * (0.5 + Math.random() / 2));
    }
  }

  async #open() {
    if (this.#opening) return;
    this.#opening = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    let credential: string | undefined;
    try {
      const { credential: given } = this.#options;
      credential = typeof given === "function" ? await given() : given;
    } catch {
      this.#opening = false;
      this.#later();
      return;
    }
    this.#opening = false;
    if (this.#state === "closed") return;
    const socket = new (this.#options.WebSocket ?? WebSocket)(this.#url, ["roompass.v1"]);
    this.#next = socket;
    this.#heard = Date.now(); // it is given as long
    socket.onopen = () => {
      const resume = this.#secret ? this.#resume() : undefined;
      this.#held = [];
      this.#asked = true;
      socket.send(JSON.stringify({ type: "auth", credential, resume }));
    };
    socket.onmessage = ({ data }) => this.#receive(socket, JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#closed(socket, code, reason);
  }

  #resume() {
    const rooms: Wire = {};
    const tokens: Wire = {};
    for (const room of this.#rooms.values()) {
      if (!room._cursor) continue;
      rooms[room.name] = room._cursor;
      if (room.token) tokens[room.name] = room.token.expiresAt;
    }
    return { session: this.#session, secret: this.#secret, rooms, tokens };
  }

  #receive(socket: WebSocket, message: Wire) {
    this.#heard = Date.now();
    if (message.id !== undefined) return this.#reply(message);
    if (message.type === "welcome") return this.#welcome(socket, message);
    if (message.type === "draining") {
      setTimeout(this.#move, message.reconnect_in);
    } else if (socket === this.#current && this.#next && this.#held && message.type !== "token") {
      this.#held.push(message); // the new socket will bring it, if it gets so far
    } else if (socket === this.#current) {
      this.#rooms.get(message.room)?._receive(message);
    }
  }

  #reply(message: Wire) {
    const request = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (message.type === "error") request?.reject(new RequestError(message.code, message.message));
    else request?.resolve(message);
  }

  #welcome(socket: WebSocket, message: Wire) {
    const old = this.#current;
    this.#current = socket;
    this.#next = undefined;
    this.#held = undefined;
    this.#asked = false;
    this.#attempts = this.#refusals = 0;
    this.#session = message.session;
    this.#secret = message.secret;
    this.#user = message.user;
    this.#pod = message.pod ?? "";
    this.#lasts(message.session_expires_in);
    this.#rate = 0.8 * message.limits.messages_per_second;
    this.#burst = this.#budget = 0.8 * message.limits.burst;
    this.#counted = performance.now();
    old?.close(1000);
    for (const state of message.rooms) this.#rooms.get(state.room)?._restore(state);
    if (!message.resumed) {
      for (const room of this.#rooms.values()) {
        if (room._cursor) this.#rejoin(room);
      }
    }
    this.#become("connected");
    this.#flush();
  }

  #closed(socket: WebSocket, code: number, reason: string) {
    for (const [id, request] of this.#pending) {
      if (request.socket !== socket) continue;
      this.#pending.delete(id);
      // To join again is the same join; to signal again could be twice.
      if (request.message.type === "join" && this.#state !== "closed") this.#outbox.unshift(request);
      else request.reject(new RequestError("lost", "the socket was lost before the answer came"));
    }
    const wasNext = socket === this.#next;
    if (socket !== this.#current && !wasNext) return;
    if (wasNext) {
      this.#next = undefined;
      const held = this.#held ?? [];
      this.#held = undefined;
      if (this.#current) for (const message of held) this.#rooms.get(message.room)?._receive(message);
    } else {
      this.#current = undefined;
      if (this.#next) { // already on the way back: with 4409, it has just arrived
        if (code !== 4409 && this.#state !== "closed") this.#become("reconnecting", { code, reason });
        return;
      }
    }
    if (this.#state === "closed") return;
    const anew = code === 4401 && typeof this.#options.credential === "function" && this.#refusals++ === 0;
    // It may be that we resumed it ourselves, and the welcome was lost with that socket.
    const ours = code === 4409 && this.#asked;
    if (!anew && !ours && (never.has(code) || code === 4401)) {
      if (wasNext && this.#current) return;
      this.#end(code, reason);
      return;
    }
    if (!this.#current) this.#become("reconnecting", { code, reason });
    this.#later(code === 1012 || anew ? 250 : undefined);
  }

  /** Tries again after a wait drawn from the whole of a growing interval, so that those who were cut off together don't come back together. */
  #later(within = Math.min(10_000, 250 * 2 ** this.#attempts++)) {
    if (this.#state === "closed") return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#open(), Math.random() * within);
  }

  #end(code: number, reason: string) {
    if (this.#state === "closed") return;
    clearTimeout(this.#retry);
    clearTimeout(this.#pacer);
    clearTimeout(this.#prover);
    globalThis.removeEventListener?.("online", this.#distrust);
    globalThis.removeEventListener?.("pageshow", this.#wake);
    globalThis.removeEventListener?.("pagehide", this.#gone);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#become("closed", { code, reason });
    const why = new RequestError("closed", `the connection is closed (${code} ${reason})`);
    for (const request of [...this.#outbox, ...this.#pending.values()]) request.reject(why);
    this.#outbox = [];
    this.#pending.clear();
    for (const room of this.#rooms.values()) room._end();
    this.#rooms.clear();
  }

  #request(message: Wire, first = false): Promise<Wire> {
    const promise = new Promise<Wire>((resolve, reject) => {
      if (this.#state === "closed") return reject(new RequestError("closed", "the connection is closed"));
      const request = { message, resolve, reject };
      if (first) this.#outbox.unshift(request);
      else if (this.#outbox.length < outboxLimit) this.#outbox.push(request);
      else return reject(new RequestError("overflow", `${outboxLimit} messages wait already`));
      this.#flush();
    });
    return quiet(promise);
  }

  /** Sends what waits, no faster than the gateway takes it. */
  #flush() {
    const now = performance.now();
    this.#budget = Math.min(this.#burst, this.#budget + ((now - this.#counted) / 1000) * this.#rate);
    this.#counted = now;
    while (this.#current?.readyState === 1 && this.#outbox.length && this.#budget >= 1) {
      const request = this.#outbox.shift()!;
      const id = ++this.#id;
      this.#budget--;
      this.#pending.set(id, request);
      request.socket = this.#current;
      this.#current.send(JSON.stringify({ ...request.message, id }));
    }
    clearTimeout(this.#pacer);
    if (this.#current?.readyState === 1 && this.#outbox.length) this.#pacer = setTimeout(() => this.#flush(), 1000 / this.#rate);
  }
}
