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
/**
 * useRoom is in a room for as long as the component is there. Make the gateway outside of the component, or once in an
 * effect: as long as it is undefined, as where a server renders the page, the state is "connecting". When data
 * changes, the others see it.
 */
export declare function useRoom(gateway: Gateway | undefined, name: string, options?: {
    data?: JSONValue;
}): RoomView;
