import { emit, quiet, type Emitter, type Wire } from "./events.js";
import type { JSONValue, Member, RoomEventMap, Token } from "./types.js";

/** One room that you are in. Its members and its token are always current. */
export class Room extends (EventTarget as { new (): Emitter<RoomEventMap> & EventTarget }) {
  #members = new Map<string, Member>();
  #member = "";
  #token?: Token;
  #over = false;
  #news!: Promise<void>; // of a token, or of an end
  #tell!: () => void;
  #send: (message: Wire) => Promise<Wire>;
  #forget: (forGood: boolean) => void;
  /** @internal */ _cursor = "";
  /** @internal You aren't here, but want to be. */ _out = false;
  /** @internal */ _data: JSONValue | undefined;

  /** Use {@link Gateway.join}. */
  constructor(readonly name: string, data: JSONValue | undefined, send: (message: Wire) => Promise<Wire>, forget: (forGood: boolean) => void) {
    super();
    this._data = data;
    this.#send = send;
    this.#forget = forget;
    this.#await();
  }

  /** Your own member id: the same for as long as you are here, whatever happens to the socket. */
  get member(): string { return this.#member; }
  /** Everybody here, yourself included, in the order of joining. */
  get members(): Member[] { return [...this.#members.values()]; }
  /** The newest token. */
  get token(): Token | undefined { return this.#token; }

  /**
   * tokens are what you hold now, and then each new one as it comes. Who is slow gets the newest only. It ends
   * when you are out for good: you left, were removed, or the connection is closed. Each call gives an iterator of its own.
   *
   *     for await (const { token } of room.tokens()) adapter.setJoinToken(token);
   */
  tokens(): AsyncIterableIterator<Token> {
    let seen: Token | undefined;
    let over = false;
    const next = async (): Promise<IteratorResult<Token>> => {
      while (!over && !this.#over) {
        if (this.#token && this.#token !== seen) return { value: (seen = this.#token), done: false };
        await this.#news;
      }
      return { value: undefined, done: true };
    };
    const end = async (): Promise<IteratorResult<Token>> => {
      over = true;
      this.#stir(); // who waits on this iterator looks again
      return { value: undefined, done: true };
    };
    return { next, return: end, [Symbol.asyncIterator]() { return this; } };
  }

  /**
   * signal sends data to one member, or with undefined to all the others. While there is no socket it waits for the next,
   * in order, and so it does where you say more at a time than the gateway takes. At most 256 requests wait, of all rooms
   * together; one more is refused with "overflow". Where the socket is lost before the answer came it is "lost":
   * it may have arrived or not, and isn't sent again. Who doesn't wait for the promise needn't catch it.
   */
  signal(to: string | undefined, data: JSONValue): Promise<void> { return this.#ask({ type: "signal", to, data }); }
  /** update replaces what the others see of you. */
  update(data: JSONValue): Promise<void> {
    return this.#ask({ type: "update", data }, () => {
      this._data = data;
      const own = this.#members.get(this.#member);
      if (own) this.#members.set(own.id, { ...own, data });
    });
  }
  /** kick removes another member; your token has to say kick_users. */
  kick(member: string): Promise<void> { return this.#ask({ type: "kick", member }); }
  leave(): Promise<void> { return this.#ask({ type: "leave" }, () => this._end()); }

  #ask(message: Wire, then: () => void = () => {}): Promise<void> { return quiet(this.#send(message).then(then)); }

  #await() { this.#news = new Promise((resolve) => (this.#tell = resolve)); }

  #stir() {
    this.#tell();
    this.#await();
  }

  /** @internal You are out for good. */
  _end() {
    this.#over = true;
    this.#forget(true);
    this.#stir();
  }

  /** @internal */
  _begin(state: Wire) {
    const first = !this._cursor;
    this.#take(state, first);
  }

  /** @internal */
  _restore(state: Wire) {
    this._out = false;
    if (!state.gap) {
      for (const event of state.missed ?? []) this._receive(event);
      this._cursor = state.cursor;
      if (state.token) this.#renew(state.token);
      return;
    }
    this.#take(state, false);
    const own = this.#members.get(this.#member);
    if (this._data !== undefined && JSON.stringify(own?.data) !== JSON.stringify(this._data)) void this.update(this._data);
  }

  /** Takes a whole state, and unless it is the first says what is different. */
  #take(state: Wire, silent: boolean) {
    const before = this.#members;
    this._out = false;
    this.#member = state.member;
    this._cursor = state.cursor;
    this.#members = new Map(state.members.map((m: Member) => [m.id, m]));
    if (!silent) {
      for (const member of before.values()) if (!this.#members.has(member.id)) emit(this, "left", { member, reason: "lost" });
      for (const member of this.#members.values()) {
        const was = before.get(member.id);
        if (!was) emit(this, "joined", { member });
        else if (JSON.stringify(was.data) !== JSON.stringify(member.data)) emit(this, "updated", { member });
      }
      emit(this, "gap");
    }
    if (state.token) this.#renew(state.token);
  }

  #renew(t: Wire) {
    this.#token = { token: t.token, expiresAt: t.expires_at, issuedAt: t.issued_at, expiresIn: t.expires_in, receivedAt: performance.now() };
    this.#stir();
    emit(this, "token", this.#token);
  }

  /** @internal */
  _receive(event: Wire) {
    if (event.cursor) this._cursor = event.cursor;
    switch (event.type) {
      case "token":
        return this.#renew(event);
      case "member_joined":
      case "member_updated":
        this.#members.set(event.member.id, event.member);
        emit(this, event.type === "member_joined" ? "joined" : "updated", { member: event.member });
        return;
      case "member_left": {
        const member = this.#members.get(event.member);
        this.#members.delete(event.member);
        if (member) emit(this, "left", { member, reason: event.reason });
        return;
      }
      case "signal":
        emit(this, "signal", { from: event.from, data: event.data });
        return;
      case "removed":
        // The app couldn't be asked about you for too long: you are here again when it can.
        this._out = event.reason === "unconfirmed";
        if (this._out) this.#forget(false);
        else this._end();
        emit(this, "removed", { reason: event.reason });
    }
  }
}
