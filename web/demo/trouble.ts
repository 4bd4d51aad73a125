/**
 * A network, a laptop and a pod that can be broken. The client opens its sockets through this, and doesn't know. What
 * it is told is what a browser tells: that a socket has closed, and that the page is back.
 */

/** A socket of a machine that sleeps: nothing comes of it. */
class SleepingSocket extends EventTarget {
  readyState: number = WebSocket.CONNECTING;
  onopen: unknown = null;
  onmessage: unknown = null;
  onerror: unknown = null;
  onclose: ((event: CloseEvent) => void) | null = null;

  send() { throw new DOMException("still connecting", "InvalidStateError"); }

  close() {
    if (this.readyState === WebSocket.CLOSED) return;
    this.readyState = WebSocket.CLOSED;
    this.onclose?.(new CloseEvent("close", { code: 1006 }));
  }
}

export class Trouble {
  #asleep = false;
  #sockets = new Set<WebSocket>();
  #sleeping = new Set<SleepingSocket>();

  /** What connect() takes for the WebSocket class. */
  readonly WebSocket = new Proxy(WebSocket, { construct: (_, [url, protocols]) => this.#open(url, protocols) });

  get asleep(): boolean { return this.#asleep; }

  /** sleep cuts the socket, and lets no other one through. */
  sleep() {
    this.#asleep = true;
    for (const socket of this.#sockets) socket.close(4001, "asleep");
  }

  /** wake does what a browser does when its machine wakes. */
  wake() {
    this.#asleep = false;
    for (const socket of this.#sleeping) socket.close();
    this.#sleeping.clear();
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
    dispatchEvent(new Event("online"));
  }

  /** crash asks the pod to end at once, as if it were killed. It does so with --dev only. */
  crash() { for (const socket of this.#sockets) if (socket.readyState === WebSocket.OPEN) socket.send('{"type":"crash"}'); }

  #open(url: string | URL, protocols?: string | string[]): WebSocket | SleepingSocket {
    if (this.#asleep) {
      const socket = new SleepingSocket();
      this.#sleeping.add(socket);
      return socket;
    }
    const socket = new WebSocket(url, protocols);
    this.#sockets.add(socket);
    socket.addEventListener("close", () => this.#sockets.delete(socket));
    return socket;
  }
}
