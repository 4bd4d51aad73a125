/** What the gateway and its rooms have in common: events whose types are known, and requests that nobody needs to wait for. */
/** A message, as it goes over the socket. */
export type Wire = Record<string, any>;
export interface Emitter<Events> {
    addEventListener<K extends keyof Events & string>(type: K, listener: (event: Events[K]) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof Events & string>(type: K, listener: (event: Events[K]) => void): void;
}
export declare const emit: (target: EventTarget, type: string, detail?: object) => boolean;
/** Who doesn't wait for the answer needn't hear that there was none. */
export declare const quiet: <T>(promise: Promise<T>) => Promise<T>;
