/**
 * A call to every other member, set up through the room's signals.
 *
 * Of two members the one with the smaller id offers, so no two offers cross. Each call has an id: an answer to
 * another one is passed over, and an offer of another one replaces what was there. Two who may be of different minds,
 * since one was away or a connection failed, tell each other which call they have ("mine"), and where that differs the
 * one who offers calls anew.
 */
import type { JSONValue, RequestError, Room } from "../client/src/client";
import { Call } from "./call";
import type { Kind, Media } from "./media";

type Message =
  | { call: string; offer: string }
  | { call: string; answer: string }
  | { mine: string | null }; // the call that I have with you

/** What others hear of a mesh, about a member each. */
export interface MeshEvents {
  changed(member: string): void;
  heard(member: string, text: string): void;
}

export type Link = "connecting" | "connected" | "interrupted";

export class Mesh {
  #calls = new Map<string, Call>();
  #asleep = false;
  /** What was said over the channels by {@link send}, the newest last. */
  readonly received: { from: string; text: string }[] = [];

  constructor(readonly room: Room, readonly media: Media, readonly events: MeshEvents) {
    room.addEventListener("joined", ({ member }) => this.#meet(member.id));
    room.addEventListener("left", ({ member }) => this.#drop(member.id));
    // What was signaled meanwhile is lost: is it still the same call at both ends?
    room.addEventListener("gap", () => { for (const id of this.#others()) this.#say(id, { mine: this.#calls.get(id)?.id ?? null }); });
    room.addEventListener("signal", ({ from, data }) => {
      const message = (data as { rtc?: Message } | null)?.rtc;
      if (message && this.#others().includes(from)) this.#take(from, message);
    });
    for (const id of this.#others()) this.#meet(id);
  }

  isOpen(member: string): boolean { return this.#calls.get(member)?.open ?? false; }

  stream(member: string): MediaStream | undefined { return this.#calls.get(member)?.stream; }

  link(member: string): Link {
    const call = this.#calls.get(member);
    if (this.#asleep) return "interrupted";
    if (!call) return "connecting";
    return call.broken ? "interrupted" : call.open ? "connected" : "connecting";
  }

  /** send says something to everybody whom a channel is open to. */
  send(text: string): void { for (const call of this.#calls.values()) call.send(text); }

  sendTo(member: string, text: string): void { this.#calls.get(member)?.send(text); }

  /** replace has everybody see or hear the media's newest track. */
  replace(kind: Kind) { for (const [id, call] of this.#calls) void this.#attempt(id, call, call.replace(kind)); }

  /** sleep ends all calls, as a machine does that sleeps; wake makes them anew. */
  sleep() {
    this.#asleep = true;
    for (const id of [...this.#calls.keys()]) this.#drop(id);
  }

  wake() {
    this.#asleep = false;
    for (const id of this.#others()) {
      if (this.#offers(id)) this.#call(id);
      else this.#say(id, { mine: null });
    }
  }

  close() { for (const id of [...this.#calls.keys()]) this.#drop(id); }

  #others() { return this.room.members.map(({ id }) => id).filter((id) => id !== this.room.member); }
  #offers(id: string) { return this.room.member < id; }

  #meet(id: string) { if (!this.#asleep && this.#offers(id)) this.#call(id); }

  #call(id: string) {
    const call = this.#begin(id, crypto.randomUUID());
    void this.#attempt(id, call, call.offer(), (offer) => this.#say(id, { call: call.id, offer }));
  }

  #begin(id: string, callId: string): Call {
    this.#drop(id);
    const call = new Call(callId, this.media, () => this.#look(id, call), (text) => this.#hear(id, text));
    this.#calls.set(id, call);
    return call;
  }

  #look(id: string, call: Call) {
    if (this.#calls.get(id) !== call) return;
    if (call.failed) this.#again(id);
    this.events.changed(id);
  }

  #again(id: string) {
    if (this.#offers(id)) return this.#call(id);
    this.#drop(id);
    this.#say(id, { mine: null });
  }

  #hear(id: string, text: string) {
    this.received.push({ from: id, text });
    if (this.received.length > 200) this.received.shift();
    this.events.heard(id, text);
  }

  /**
   * Waits for a step of a call. Where the call was ended meanwhile nothing follows from it, and that it failed means
   * nothing, because whatever one does with a connection that is closed fails.
   */
  async #attempt<T>(id: string, call: Call, step: Promise<T>, next?: (result: T) => void) {
    const current = () => this.#calls.get(id) === call;
    try {
      const result = await step;
      if (current()) next?.(result);
    } catch (why) {
      if (current()) console.warn(`peer to peer: ${(why as Error).message}`);
    }
  }

  #take(id: string, message: Message) {
    if (this.#asleep) return;
    const call = this.#calls.get(id);
    if ("mine" in message) {
      this.#compare(id, message.mine);
    } else if ("answer" in message) {
      if (call?.id === message.call) void this.#attempt(id, call, call.take(message.answer));
    } else if (call?.id !== message.call) {
      const next = this.#begin(id, message.call);
      void this.#attempt(id, next, next.answer(message.offer), (answer) => this.#say(id, { call: next.id, answer }));
    }
  }

  /** The other one says which call it has with us. */
  #compare(id: string, mine: string | null) {
    const call = this.#calls.get(id);
    if (!this.#offers(id)) {
      if (call?.id !== mine) this.#say(id, { mine: call?.id ?? null });
    } else if (call && !call.answered) {
      if (call.offered) this.#say(id, { call: call.id, offer: call.offered });
    } else if (call?.id !== mine) {
      this.#call(id);
    }
  }

  /** Signals something. Where it may not have arrived it goes again: to hear it twice is to hear it once. */
  #say(id: string, message: Message) {
    this.room.signal(id, { rtc: message } as unknown as JSONValue).catch(({ code }: RequestError) => {
      const current = !("call" in message) || this.#calls.get(id)?.id === message.call;
      if (["lost", "unavailable", "overflow"].includes(code) && current) setTimeout(() => this.#say(id, message), 500);
    });
  }

  #drop(id: string) {
    this.#calls.get(id)?.close();
    if (this.#calls.delete(id)) this.events.changed(id);
  }
}
