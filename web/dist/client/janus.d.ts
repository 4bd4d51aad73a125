/**
 * The tokens of a room for naf-janus-adapter, or whatever else takes one by
 * setJoinToken and reads it at each join that it sends.
 *
 *     const unbind = bindJanus(NAF.connection.adapter, room);
 *
 * @module
 */
import type { Room } from "./client.js";
/** What naf-janus-adapter's JanusAdapter is to us. */
export interface JoinTokenAdapter {
    setJoinToken(token: string): void;
}
/**
 * bindJanus gives the adapter the room's token now, and each later one as it comes, also the fresh one after a gap. The
 * adapter keeps it for the next join or subscription that it sends, so the newest is always there when it is wanted.
 * It returns a function that stops that.
 */
export declare function bindJanus(adapter: JoinTokenAdapter, room: Pick<Room, "token" | "addEventListener" | "removeEventListener">): () => void;
