import { type Emitter, type Wire } from "./events.js";
import type { JSONValue, Member, RoomEventMap, Token } from "./types.js";
declare const Room_base: {
    new (): Emitter<RoomEventMap> & EventTarget;
};
/** One room that you are in. Its members and its token are always current. */
export declare class Room extends Room_base {
    #private;
    readonly name: string;
    /** Use {@link Gateway.join}. */
    constructor(name: string, data: JSONValue | undefined, send: (message: Wire) => Promise<Wire>, forget: (forGood: boolean) => void);
    /** Your own member id: the same for as long as you are here, whatever happens to the socket. */
    get member(): string;
    /** Everybody here, yourself included, in the order of joining. */
    get members(): Member[];
    /** The newest token. */
    get token(): Token | undefined;
    /**
     * tokens are what you hold now, and then each new one as it comes. Who is slow gets the newest only. It ends
     * when you are out for good: you left, were removed, or the connection is closed. Each call gives an iterator of its own.
     *
     *     for await (const { token } of room.tokens()) adapter.setJoinToken(token);
     */
    tokens(): AsyncIterableIterator<Token>;
    /**
     * signal sends data to one member, or with undefined to all the others. While there is no socket it waits for the next,
     * in order, and so it does where you say more at a time than the gateway takes. At most 256 requests wait, of all rooms
     * together; one more is refused with "overflow". Where the socket is lost before the answer came it is "lost":
     * it may have arrived or not, and isn't sent again. Who doesn't wait for the promise needn't catch it.
     */
    signal(to: string | undefined, data: JSONValue): Promise<void>;
    /** update replaces what the others see of you. */
    update(data: JSONValue): Promise<void>;
    /** kick removes another member; your token has to say kick_users. */
    kick(member: string): Promise<void>;
    leave(): Promise<void>;
}
export {};
