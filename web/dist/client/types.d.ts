/** What one hears of a gateway and its rooms, and what is told of them. */
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
