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
import { type Emitter } from "./events.js";
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
/** connect opens a gateway's socket and keeps it open until you close it. */
export declare function connect(url: string | URL, options?: ConnectOptions): Gateway;
declare const Gateway_base: {
    new (): Emitter<GatewayEventMap> & EventTarget;
};
/** One connection to a gateway, whatever sockets it takes. */
export declare class Gateway extends Gateway_base {
    #private;
    /** Use {@link connect}. */
    constructor(url: string | URL, options: ConnectOptions);
    get state(): State;
    /** Who the gateway says you are; null for an anonymous person. */
    get user(): string | null;
    /** The name of the pod that the newest socket is on, for people to look at. */
    get pod(): string;
    /** join enters a room. It rejects with a {@link RequestError}. */
    join(name: string, options?: {
        data?: JSONValue;
    }): Promise<Room>;
    /** close says goodbye: you leave all rooms. */
    close(): void;
    /** drop cuts the socket without a goodbye, as a bad network does. For trying out what happens then: nothing. */
    drop(): void;
}
