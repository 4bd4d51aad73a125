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
/** Any JSON value. */
export type JSONValue = null | boolean | number | string | JSONValue[] | {
    [name: string]: JSONValue;
};
/** Somebody in a room. */
export interface Member {
    readonly id: string;
    /** The app's user id; null for an anonymous person. */
    readonly user: string | null;
    readonly data: JSONValue;
    /** Unix milliseconds, by the gateway's clock. */
    readonly joined_at: number;
}
/** What lets you in at the media server. */
export interface Token {
    /** The compact JWT. */
    readonly token: string;
    /** Unix milliseconds, by the gateway's clock. */
    readonly expiresAt: number;
    readonly issuedAt: number;
    /** How many milliseconds it had left when it came: right on any clock. */
    readonly expiresIn: number;
    /** When it came, as performance.now() has it. */
    readonly receivedAt: number;
}
export type State = "connecting" | "connected" | "reconnecting" | "closed";
/** Why a request could not be done; code is one of the protocol's, or "closed", "lost" or "overflow". */
export declare class RequestError extends Error {
    readonly code: string;
    constructor(code: string, message: string);
}
export interface RoomEventMap {
    /** A fresh token: use it from now on. */
    token: Event & Token;
    joined: Event & {
        readonly member: Member;
    };
    updated: Event & {
        readonly member: Member;
    };
    left: Event & {
        readonly member: Member;
        readonly reason: string;
    };
    signal: Event & {
        readonly from: string;
        readonly data: JSONValue;
    };
    /**
     * You are out: "kicked", "revoked", "room_closed", or "not_allowed" where you were to come back. With "unconfirmed"
     * the app couldn't be asked about you for too long: you are here again when it can, and until then have no good token.
     */
    removed: Event & {
        readonly reason: string;
    };
    /** So much was missed that only the state came; the differences came as events before this. */
    gap: Event;
}
export interface GatewayEventMap {
    state: Event & {
        readonly state: State;
        readonly code?: number;
        readonly reason?: string;
    };
}
interface Emitter<Events> {
    addEventListener<K extends keyof Events & string>(type: K, listener: (event: Events[K]) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof Events & string>(type: K, listener: (event: Events[K]) => void): void;
}
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
type Wire = Record<string, any>;
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
